"""Pipes, huge files, and links in the place of files that are read or written."""
import os
import struct
import zlib

import pytest
from PIL import Image

import use_student
from commands import train_here
from compression import Arch, build_generator, save_student
from compression.checkpoints.files import MAX_JSON_BYTES, read_json
from util.results import check_results_folder
from util.run_folder import LOGS, check_links
from util.validation import read_jsonl


def huge(path):
    """Create a file of 100 GB that occupies no space."""
    path.touch()
    os.truncate(path, 100 * 2 ** 30)


@pytest.mark.parametrize("read", [read_json, read_jsonl])
def test_a_huge_text_file_is_refused_without_reading_it(tmp_path, read):
    huge(tmp_path / "x.json")
    with pytest.raises(ValueError, match=r"x.json: has 107,374,182,400 bytes, more than"):
        read(tmp_path / "x.json")


def test_the_limit_of_a_json_file_is_a_size_that_is_accepted(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{}" + " " * (MAX_JSON_BYTES - 2))
    assert read_json(path) == {}
    path.write_text("{}" + " " * (MAX_JSON_BYTES - 1))
    with pytest.raises(ValueError, match="x.json"):
        read_json(path)


def test_json_is_not_read_from_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(ValueError, match=r"x.json: is not a regular file"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize("name", [".lock", *LOGS])
def test_a_run_does_not_write_to_a_pipe(tmp_path, name):
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(ValueError, match="is not a regular file"):
        check_links(tmp_path / "run")
    _, err = train_here("--model", "pix2pix", "--name", "run", "--checkpoints_dir", tmp_path,
                        "--gpu_ids", "-1", status=2)
    assert err == (f"error: {tmp_path / 'run' / name} is not a regular file; remove it, or choose another "
                   "--name\n")


@pytest.mark.parametrize("link", ["test_latest/images", "test_latest/images/sub", ".test_latest.unfinished"])
def test_results_are_never_written_through_a_link(tmp_path, link):
    victim = tmp_path / "victim"
    victim.mkdir()
    path = tmp_path / "results" / link
    path.parent.mkdir(parents=True)
    path.symlink_to(victim)
    with pytest.raises(ValueError, match=r"is a symbolic link; results are only written into"):
        check_results_folder(tmp_path / "results" / "test_latest",
                             tmp_path / "results" / ".test_latest.unfinished")


def test_results_may_lie_behind_a_link(tmp_path):
    (tmp_path / "disk" / "test_latest" / "images").mkdir(parents=True)
    (tmp_path / "net").symlink_to(tmp_path / "disk")
    check_results_folder(tmp_path / "net" / "test_latest", tmp_path / "net" / ".test_latest.unfinished")


def test_the_example_names_an_image_that_it_cannot_read(tmp_path):
    path = tmp_path / "x.png"
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(ValueError, match=r"x.png: cannot be read as an image"):
        use_student.read(path)
    Image.new("RGB", (64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"x.png: cannot be read as an image"):
        use_student.read(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"x.png: no such image file"):
        use_student.read(path)


def test_the_example_names_an_image_of_unknown_range(tmp_path):
    save_student(tmp_path / "student.pth", build_generator("resnet_6blocks", 3, 3, 4))
    Image.new("F", (8, 8)).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match=r"x.tif: floating-point pixels"):
        use_student.main(tmp_path / "student.pth", tmp_path / "x.tif", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("content", ['{"family": "' + "x" * 100_000 + '"}',
                                     '{"family": "resnet", "' + "x" * 100_000 + '": 1}',
                                     '{"family": "resnet", "stem": ' + str([8] * 1000)
                                     + ', "trunk": 8, "inner": [8], "decoder": [8, 8]}'])
def test_a_message_about_an_architecture_is_short(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a.json") as error:
        Arch.load(tmp_path / "a.json")
    assert len(str(error.value)) < 600

"""The scripts in datasets/ download, resume, check, and convert; those in scripts/ build commands."""
import errno
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from PIL import Image

from modules import load_module
from paths import ROOT

download_pix2pix = load_module(ROOT / "datasets" / "download_pix2pix.py")
prepare_cityscapes = load_module(ROOT / "datasets" / "prepare_cityscapes.py")


@pytest.fixture
def server():
    """A server of one archive that supports ranges: (address, archive, the starts of requested ranges)."""
    buffer, asked = io.BytesIO(), []
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        data = np.random.default_rng(0).bytes(200_000)
        info = tarfile.TarInfo("toy/train/1.jpg")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    archive = buffer.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            start = int((re.search(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
            asked.append(start)
            if self.path != "/toy.tar.gz" or start >= len(archive):
                return self.send_error(416 if start else 404)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(archive) - start))
            self.end_headers()
            self.wfile.write(archive[start:])

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", archive, asked
        http.shutdown()


def test_an_archive_is_downloaded_checked_unpacked_and_resumed(server, tmp_path):
    url, archive, asked = server
    md5 = {"toy": hashlib.md5(archive).hexdigest()}
    folder = download_pix2pix.fetch("toy", tmp_path, url=url, md5=md5)
    assert (folder / "train" / "1.jpg").stat().st_size == 200_000
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
    with pytest.raises(ValueError, match="toy: already exists"):
        download_pix2pix.fetch("toy", tmp_path, url=url, md5=md5)
    other = tmp_path / "other"
    other.mkdir()
    (other / "toy.tar.gz.part").write_bytes(archive[:70_000])  # an interrupted download
    assert (download_pix2pix.fetch("toy", other, url=url, md5=md5) / "train" / "1.jpg").is_file()
    assert asked == [0, 70_000]


def test_damaged_archives_and_no_connection_leave_nothing_behind(server, tmp_path):
    url, archive, _ = server
    with pytest.raises(ValueError, match="its MD5 is .*, expected 0000; it is damaged"):
        download_pix2pix.fetch("toy", tmp_path, url=url, md5={"toy": "0000"})
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive[:100_000])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        download_pix2pix.fetch("toy", tmp_path, archive=cut,
                               md5={"toy": hashlib.md5(archive[:100_000]).hexdigest()})
    assert not (tmp_path / "toy").exists()
    with pytest.raises(ValueError, match="http://127.0.0.1:9/toy.tar.gz: cannot be downloaded .*--archive"):
        download_pix2pix.fetch("toy", tmp_path / "offline", url="http://127.0.0.1:9", md5={"toy": "1"})
    with pytest.raises(ValueError, match="404"):
        download_pix2pix.fetch("none", tmp_path / "x", url=url, md5={"none": "1"})


def tar_of(*members):
    """A tar file of members, each a name (an empty file) or a TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            tar.addfile(tarfile.TarInfo(member) if isinstance(member, str) else member)
    return buffer.getvalue()


def special_member(name, kind, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize("member", [
    "../escaped", "/tmp/escaped_member", "other/a", "toy/../other/a", "toy/../../escaped", "toyish",
    ".hidden",
    special_member("toy/link", tarfile.SYMTYPE, "a"), special_member("toy/link", tarfile.LNKTYPE, "toy/a"),
    special_member("toy/link", tarfile.SYMTYPE, "../../escaped"), special_member("toy/x", tarfile.FIFOTYPE),
    special_member("toy/x", tarfile.CHRTYPE), special_member("other", tarfile.DIRTYPE)],
    ids=lambda member: getattr(member, "name", member) + str(getattr(member, "type", "")))
def test_nothing_but_files_in_the_folder_of_the_data_set_is_unpacked(tmp_path, member):
    content = tar_of("toy/a", member)
    archive, out = tmp_path / "a.tar", tmp_path / "out"
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"a.tar: cannot be unpacked \(its member .* is n"):
        download_pix2pix.fetch("toy", out, archive=archive, md5={"toy": hashlib.md5(content).hexdigest()})
    assert not list(out.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "out"}


def test_a_download_and_a_data_set_never_follow_a_link(server, tmp_path):
    url, archive, asked = server
    md5 = {"toy": hashlib.md5(archive).hexdigest()}
    (tmp_path / "precious").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    for target in ("../precious", "missing"):
        for name in ("toy.tar.gz.part", "toy"):
            (out / name).symlink_to(target)
            with pytest.raises(ValueError, match="is not a regular file|already exists"):
                download_pix2pix.fetch("toy", out, url=url, md5=md5)
            (out / name).unlink()
    os.mkfifo(out / "toy.tar.gz.part")
    with pytest.raises(ValueError, match="is not a regular file"):
        download_pix2pix.fetch("toy", out, url=url, md5=md5)
    assert not asked
    (out / "toy.tar.gz.part").unlink()
    (out / "toy.tar.gz").symlink_to("../precious")  # a file of the user
    download_pix2pix.fetch("toy", out, url=url, md5=md5)
    assert (tmp_path / "precious").read_text() == "mine"
    assert sorted(path.name for path in out.iterdir()) == ["toy", "toy.tar.gz"]


def test_a_broken_connection_keeps_the_received_part(tmp_path):
    class Breaks(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 400)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Breaks) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        with pytest.raises(ValueError, match="cannot be downloaded .* again to continue"):
            download_pix2pix.fetch("toy", tmp_path, url=f"http://127.0.0.1:{http.server_port}",
                                   md5={"toy": "0"})
        http.shutdown()
    assert (tmp_path / "toy.tar.gz.part").stat().st_size == 400


def test_an_unknown_data_set_is_one_error_line(capsys, tmp_path):
    assert download_pix2pix.main(["shoes", "--out", str(tmp_path)]) == 2
    assert "error: unknown data set 'shoes', known: facades, edges2shoes" in capsys.readouterr().err


@pytest.fixture
def cityscapes(tmp_path):
    for phase in ("train", "val"):
        for i in range(2):
            for kind, name, value in (("leftImg8bit", f"aachen_{i}_leftImg8bit.png", 50),
                                      ("gtFine", f"aachen_{i}_gtFine_color.png", 200)):
                path = tmp_path / "city" / kind / phase / "aachen" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((20, 40, 3), value + i, np.uint8)).save(path)
    return tmp_path / "city"


def test_cityscapes_becomes_photo_and_label_side_by_side(cityscapes, tmp_path):
    assert prepare_cityscapes.main(["--source", str(cityscapes), "--out", str(tmp_path / "out"),
                                    "--size", "16"]) == 0
    pair = np.array(Image.open(tmp_path / "out" / "train" / "aachen_1.png"))
    assert pair.shape == (16, 32, 3)
    assert (pair[:, :16] == 51).all()
    assert (pair[:, 16:] == 201).all()
    assert len(list((tmp_path / "out" / "val").iterdir())) == 2


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda root: (root / "gtFine" / "val" / "aachen" / "aachen_1_gtFine_color.png").unlink(),
     "1 of phase val have no partner: aachen_1"),
    (lambda root: (root / "leftImg8bit").rename(root / "left"), "no photos .leftImg8bit. of phase train"),
    (lambda root: (root / "gtFine" / "train" / "aachen" / "aachen_0_gtFine_color.png").write_text("x"),
     "aachen_0_gtFine_color.png: cannot be read as an image")])
def test_an_incomplete_cityscapes_is_refused(cityscapes, tmp_path, capsys, spoil, message):
    spoil(cityscapes)
    assert prepare_cityscapes.main(["--source", str(cityscapes), "--out", str(tmp_path / "out"),
                                    "--size", "8"]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


PREPARATIONS = {name: load_module(ROOT / "datasets" / f"{name}.py")
                for name in ("make_edges", "prepare_camvid", "prepare_cityscapes")}


@pytest.mark.parametrize("name", PREPARATIONS)
@pytest.mark.parametrize("flags", [
    ["--phases", ".."], ["--phases", "../victim"], ["--phases", "train", "a/b"], ["--phases", "/"],
    ["--phases", ""], ["--out", "victim/file"], ["--out", "broken"], ["--out", "loop"], ["--out", ""],
    ["--out", "linked"], ["--out", "dangling"], ["--ou", "elsewhere"], ["--out", "elsewhere/" + "x" * 300],
    ["--out", "elsewhere", "--\x1b[31m"], ["--size", "nan"], ["--size", "1e400"], ["--size", "9" * 5000]],
    ids=lambda flags: "-".join(flags)[:30])
def test_preparation_refuses_paths_that_lead_outside(name, flags, cityscapes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for phase in ("train", "val"):  # for make_edges
        (cityscapes / phase).mkdir()
        Image.new("RGB", (20, 20)).save(cityscapes / phase / "photo.png")
    for folder in ("victim", "linked", "dangling"):
        (tmp_path / folder).mkdir()
    (tmp_path / "victim" / "file").write_text("mine")
    (tmp_path / "linked" / "train").symlink_to("../victim")
    (tmp_path / "dangling" / "val").symlink_to("missing")
    (tmp_path / "broken").symlink_to("missing")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.rglob("*"))
    out = [] if flags[0].startswith("--ou") else ["--out", "elsewhere"]
    phases = ["--phases", "train", "val"] if flags[0] == "--out" else []
    try:
        status = PREPARATIONS[name].main(["--source", str(cityscapes), *out, *phases, *flags])
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert "\x1b" not in printed.err
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "elsewhere") == before
    assert (tmp_path / "victim" / "file").read_text() == "mine"


def test_a_full_disk_is_named_and_leaves_nothing(cityscapes, tmp_path, monkeypatch, capsys):
    def full(image, path):
        path.write_bytes(b"x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as Pillow: without the path

    monkeypatch.setattr(Image.Image, "save", full)
    out = tmp_path / "out"
    assert prepare_cityscapes.main(["--source", str(cityscapes), "--out", str(out)]) == 2
    assert f"error: --out {out}: cannot be written (No space left on device)" in capsys.readouterr().err
    assert not list(out.iterdir())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_preparation_leaves_nothing(cityscapes, tmp_path, monkeypatch, number, status):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    signals = iter([number])

    def interrupt(photo, label, size):
        for once in signals:
            os.kill(os.getpid(), once)
            time.sleep(0.2)
        return Image.new("RGB", (2 * size, size))

    monkeypatch.setattr(prepare_cityscapes, "pair_image", interrupt)
    with pytest.raises(SystemExit) as stop:
        sys.exit(prepare_cityscapes.main(["--source", str(cityscapes), "--out", str(tmp_path / "out")]))
    assert stop.value.code == status
    assert not list((tmp_path / "out").iterdir())


SCRIPTS = sorted((ROOT / "scripts").glob("*/*.sh"), key=str)
ROWS = {("cityscapes", "pix2pix_resnet", "0.5", "large"): "1.447G",
        ("cityscapes", "gaugan", "0.1", "small"): "8.823G",
        ("edges2shoes", "pix2pix_unet", "0.5", "large"): "1.206G",
        ("cityscapes", "pix2pixhd", "0.25", "large"): "13.348G"}


def commands(path, folder, *stages, **variables):
    """Run a script with echo instead of python, so that it prints its commands."""
    environment = {"PATH": "/usr/bin:/bin", "DATAROOT": str(folder), "PYTHON": "echo", **variables}
    return subprocess.run(["bash", str(path), *stages], capture_output=True, text=True, env=environment,
                          timeout=60)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_scripts_run_all_stages(path, tmp_path):
    done = commands(path, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert [line.split()[2] for line in lines] == ["train.py", "train.py", "search.py", "train.py", "test.py",
                                                   "test.py"]
    assert "--model ugc_supernet" in lines[1]
    assert "latest_net_D.pth" in lines[1]
    assert len(commands(path, tmp_path, "search", "test").stdout.splitlines()) == 6
    assert commands(path, tmp_path / "nothing").returncode == 2
    assert "the stages are: original supernet" in commands(path, tmp_path, "train").stderr


@pytest.mark.parametrize("row", list(ROWS), ids=" ".join)
def test_scripts_have_the_budgets_of_the_paper(row, tmp_path):
    dataset, name, ratio, budget = row
    done = commands(ROOT / "scripts" / dataset / f"{name}.sh", tmp_path, "search", "supernet",
                    LABEL_RATIO=ratio, BUDGET=budget)
    assert f"--macs {ROWS[row]} " in done.stdout
    assert f"--label_ratio {ratio}" in done.stdout
    assert "set MACS" in commands(ROOT / "scripts" / dataset / f"{name}.sh", tmp_path,
                                  LABEL_RATIO="0.3").stderr

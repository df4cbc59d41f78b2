"""Hostile values of flags are refused in one line, and nothing is written outside the named folders."""
import os
import socket

import pytest
from PIL import Image

import use_student
from commands import run_here
from compression import atomic_file, build_generator, save_student
from compression.checkpoints.files import write_json
from options.earlier_runs import format_suffix

SMALL = ["--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--gpu_ids", "-1", "--preprocess", "none"]
TOY = ["--toy_train_images", "2", "--toy_test_images", "1", "--num_threads", "0"]
SCRIPTS = {"train": ["--model", "pix2pix", *SMALL, *TOY], "test": ["--model", "ugc_student"], "search": [],
           "evaluate": []}


@pytest.fixture
def work(tmp_path):
    """A folder of runs with a student, next to the run of somebody else, and an image."""
    save_student(tmp_path / "ck/net/latest_student.pth", build_generator("resnet_6blocks", 3, 3, 4))
    write_json(tmp_path / "ck/net/train_opt.json", {"model": "ugc_distill", "base_dataset_mode": "toy"})
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/latest_net_G.pth").write_text("mine")
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png")
    return tmp_path


def entries(folder):
    """Everything below a folder but the options of a test: path -> kind and content."""
    return {path: (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
            for path in folder.rglob("*") if path.name != "test_opt.txt"}


def refused(script, work, *flags):
    """Run an entry point that must refuse its flags before it writes anything; returns the error."""
    before = entries(work)
    folders = ["--checkpoints_dir", work / "ck"]
    folders += ["--results_dir", work / "results"] if script in ("test", "evaluate") else []
    out, err = run_here(script, *folders, *SCRIPTS[script], *flags, status=2)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "\x1b" not in out + err
    assert entries(work) == before
    return err


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("name", ["..", "../victim", "/tmp/victim", ".", "", "net/../../victim", "net/..",
                                  "..\\victim", "-x", "--overwrite", "--dataset_mode toy", "x" * 300])
def test_names_that_lead_out_of_the_folder_or_look_like_flags_are_refused(work, script, name):
    err = refused(script, work, f"--name={name}")
    assert "--name must " in err or len(name) == 300


@pytest.mark.parametrize("flag", ["--phase", "--epoch"])
@pytest.mark.parametrize("value", ["..", "../victim", "/tmp/victim", "a/b", "a\\b", ""])
def test_phases_and_epochs_are_names(work, flag, value):
    for script in ("test", "evaluate"):
        assert f"error: {flag} must " in refused(script, work, "--name", "net", f"{flag}={value}")


@pytest.mark.parametrize("flag", ["--dataroot", "--checkpoints_dir", "--restore_G", "--supernet", "--model"])
def test_an_empty_value_is_not_a_missing_flag(work, flag):
    """Such as that of ``--dataroot "$DATA"``, which must not train on the built-in data set."""
    model = ["--model", "ugc_distill" if flag == "--supernet" else "ugc_supernet"]
    err = refused("train", work, "--name", "new", *model, f"{flag}=")
    assert err == f"error: {flag} must not be empty; drop the flag for its default\n"


def test_a_name_does_not_choose_the_built_in_data_set(work):
    """The data set of the run is not recorded."""
    write_json(work / "ck/net/train_opt.json", {"model": "ugc_distill"})
    assert "records no data set" in refused("test", work, "--name", "net",
                                            "--input_instance=--dataset_mode toy")


@pytest.mark.parametrize("suffix", ["{ngf.__class__}", "{ngf[0]}", "{0}", "{}", "{ngf:>999999999}",
                                    "{ngf:{ngf}}", "{ngf:.999999999f}", "{", "}", "{unknown}"])
def test_a_suffix_has_only_options(suffix):
    with pytest.raises(ValueError, match="--suffix .* must be an option"):
        format_suffix(suffix, {"ngf": 8})


def test_a_suffix_may_have_formats():
    values = {"lr": 0.0002, "netG": "unet_256", "n": 7}
    assert format_suffix("{lr:.4f}_{lr:.1e}_{netG}_{n:03d}_{netG!r}_{{x}}", values) == (
        "0.0002_2.0e-04_unet_256_007_'unet_256'_{x}")


def special(path, kind):
    """Create something that is not a regular file."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/null")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "socket"])
def test_outputs_replace_nothing_but_files(work, monkeypatch, kind):
    monkeypatch.chdir(work)  # the path of a socket is short
    special(work / "out.png", kind)
    before = entries(work)
    with pytest.raises(OSError, match=r"out.png is not a regular file"), atomic_file("out.png"):
        pytest.fail("the file is written")
    with pytest.raises(OSError, match=r"out.png is not a regular file"):
        use_student.main("ck/net/latest_student.pth", "x.png", "out.png")
    assert entries(work) == before
    err = refused("test", work, "--name", "net", "--input", work / "x.png", "--output", work / "out.png")
    assert "out.png is not a regular file" in err


def test_links_that_lead_to_themselves_and_files_in_the_place_of_folders_are_refused(work):
    (work / "loop").symlink_to("loop")
    flags = ["--input", work / "loop", "--output", work / "y.png"]
    assert "loop" in refused("test", work, "--name", "net", *flags)
    for path in (work / "loop", work / "x.png"):
        for script in ("test", "evaluate"):
            err = refused(script, work, "--name", "net", *TOY, "--results_dir", path)
            assert err == f"error: {path} is not a folder; choose another --results_dir\n"
        assert str(path) in refused("train", work, "--name", "new", "--checkpoints_dir", path)


@pytest.mark.parametrize(("flag", "value", "message"), [("--runs", "other", "has no metrics.json"),
                                                        ("--baseline", "other", "unknown; the paper has")])
def test_what_the_report_lacks_is_said_before_images_are_made(work, flag, value, message):
    assert message in refused("evaluate", work, "--name", "net", *TOY, flag, value)


def test_outputs_replace_links_and_keep_their_targets(work):
    for name in ("student.png", "test.png"):
        (work / name).symlink_to("x.png")
    before = (work / "x.png").read_bytes()
    use_student.main(work / "ck/net/latest_student.pth", work / "victim/../x.png", work / "student.png")
    assert (work / "x.png").read_bytes() == before
    assert not (work / "student.png").is_symlink()
    with pytest.raises(ValueError, match="must end as an image file"):
        use_student.main(work / "ck/net/latest_student.pth", work / "x.png", work / "out.xyz")


def test_a_test_of_the_training_images_keeps_the_options_of_the_training(work):
    (work / "ck/net/train_opt.txt").write_text("of the training")
    flags = ["--checkpoints_dir", work / "ck", "--results_dir", work / "results", "--name", "net",
             *SCRIPTS["test"], *TOY, "--load_size", "16", "--crop_size", "16"]
    for phase in ("train", "a\udcff\x1b[31m"):  # the second is not UTF-8
        out, _ = run_here("test", *flags, "--phase", phase)
        assert "\x1b" not in out
        assert (work / f"results/net/{phase}_latest/index.html").is_file()
    assert (work / "ck/net/train_opt.txt").read_text() == "of the training"
    assert (work / "ck/net/test_train_opt.txt").is_file()

"""Control characters of names reach no terminal: they are printed as escapes."""
import os
import re

import pytest
import torch
from PIL import Image

from commands import run, run_here
from compression import build_generator
from compression.runtime.distributed import process_group
from compression.runtime.text import name_some, printable, unknown
from options.train_options import TrainOptions
from util.entry import fail

HOSTILE = "a\x1b[31m\nINJECTED\r\x07\x9b2J\u202eb"
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
SMALL = ["--netG", "resnet_6blocks", "--ngf", "4", "--gpu_ids", "-1", "--no_dropout", "--preprocess",
         "none"]


@pytest.mark.parametrize(("name", "shown"), [
    ("a\x1b[31m.png", r"a\x1b[31m.png"), ("a\r\nb", r"a\r\nb"), ("\x9b2J", r"\x9b2J"),
    ("x\u202egnp", r"x\u202egnp"),
    ("bad\udcff", r"bad\udcff"), ("\u5199\u771f \xe9\u3000.png", "\u5199\u771f \xe9\u3000.png")])
def test_control_characters_are_escaped_and_letters_are_not(name, shown, capsys):
    assert printable(name) == shown
    assert name_some([name]) == shown
    with pytest.raises(SystemExit):
        fail(f"{name}: is damaged")
    assert capsys.readouterr().err == f"error: {shown}: is damaged\n"


def test_the_options_are_printed_without_control_characters(tmp_path, capsys):
    TrainOptions().parse(["--model", "pix2pix", "--gpu_ids", "-1", "--checkpoints_dir", str(tmp_path),
                          "--dataroot", "d\x1b]0;title\x07"])
    output = capsys.readouterr().out
    assert r"d\x1b]0;title\x07" in output
    assert "\x1b" not in output


def test_a_long_text_is_cut():
    assert printable("x" * 100, 40) == "x" * 40 + "..."
    assert unknown("--norm " + "x" * 10 ** 4, "x" * 10 ** 4, ["batch"]) == (
        "--norm " + "x" * 93 + "... is unknown, known: batch")


@pytest.fixture
def folder(tmp_path):
    """A folder with a hostile name that holds pairs of hostile names and a run `net` of a small generator."""
    folder = tmp_path / HOSTILE
    for phase in ("train", "test"):
        for side in "AB":
            (folder / f"{phase}{side}").mkdir(parents=True)
            for i in range(2):
                image = Image.new("RGB", (32, 32), (40 * i, 90, 9))
                image.save(folder / f"{phase}{side}" / f"{HOSTILE}{i}.png")
    (folder / "net").mkdir()
    torch.save(build_generator("resnet_6blocks", 3, 3, 4, "batch", False).state_dict(),
               folder / "net" / "latest_net_G.pth")
    return folder


def is_harmless(text):
    """Whether a text has no control characters but line feeds and tabs, and no line that a name began."""
    return not CONTROLS.search(text) and not re.search("^INJECTED", text, re.MULTILINE)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names")
def test_no_entry_point_prints_the_control_characters_of_names(folder):
    data, runs = ["--dataroot", folder], ["--checkpoints_dir", folder]
    results = ["--results_dir", folder / "results"]
    train = ["--model", "pix2pix", "--name", "new", "--n_epochs", "1", "--n_epochs_decay", "0", "--ndf", "4",
             *data, *runs, *SMALL]
    test = ["--name", "net", *data, *runs, *results, *SMALL]
    calls = {
        "check of a training": run_here("train", *train, "--check_data"),
        "training": run_here("train", *train),
        "the training again": run_here("train", *train, status=2),
        "a training that overwrites": run_here("train", *train, "--overwrite"),
        "a continued run that is finished": run_here("train", *train, "--continue_train"),
        "a missing folder": run_here("train", *train[:-2], "--dataroot", folder / HOSTILE, status=2),
        "evaluate": run_here("evaluate", "--model", "pix2pix", "--metrics", "L1", *test),
        "evaluate --check_data": run_here("evaluate", "--check_data", "--results",
                                          folder / "results" / "net" / "test_latest"),
        "evaluate without results": run_here("evaluate", "--results", folder / HOSTILE, status=2),
    }
    outputs = {name: "".join(streams).replace("\r", "") for name, streams in calls.items()}
    outputs |= {path.name: path.read_text("utf-8") for path in folder.rglob("*.txt")}
    assert {"train_opt.txt", "loss_log.txt"} <= outputs.keys()
    assert [name for name, text in outputs.items() if not is_harmless(text)] == []
    pages = {path.name: path.read_text("utf-8") for path in folder.rglob("*.html")}
    assert pages.keys() == {"index.html", "report.html"}
    assert [name for name, text in pages.items() if CONTROLS.search(text)] == []  # a line feed is a space


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names")
def test_translating_and_examples_print_no_control_characters(folder):
    image = folder / "testA" / f"{HOSTILE}0.png"
    done = [run("test.py", "--model", "test", "--name", "net", "--checkpoints_dir", folder, "--input", image,
                "--output", folder / f"{HOSTILE}.png", *SMALL),
            run("examples/use_student.py", folder / HOSTILE, image, folder / "out.png", status=2),
            run("datasets/make_edges.py", folder / HOSTILE, folder / "edges", status=2),
            run("-m", "compression.cost", folder / HOSTILE, status=2)]
    assert [end.args for end in done if not is_harmless(end.stdout + end.stderr)] == []
    assert r"\x1b[31m" in done[0].stdout


@pytest.mark.parametrize(("variables", "message"), [
    ({"WORLD_SIZE": "two"}, r"WORLD_SIZE must be an integer from 1 to 1000000, got 'two'; torchrun sets it"),
    ({"WORLD_SIZE": "0"}, "WORLD_SIZE must be an integer from 1"),
    ({"WORLD_SIZE": "2", "RANK": "\x1b"}, r"RANK must be an integer from 0 to 1, got '\\x1b'"),
    ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK must be an integer from 0 to 1, got '2'"),
    ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "-1"}, "LOCAL_RANK must be an integer from 0 to 1"),
    ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_PORT must be an integer from 0 to 65535, got nothing"),
    ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "1e3"}, "MASTER_PORT must be an integer"),
    ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "29500"}, "MASTER_ADDR is not set"),
    ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "29500", "MASTER_ADDR": "a..b\x1b"},
     r"MASTER_ADDR must be the name or the address of a machine, got 'a..b\\x1b'; torchrun sets it"),
    ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "29500", "MASTER_ADDR": ""},
     "MASTER_ADDR must be the name or the address of a machine, got ''"),
])
def test_the_variables_of_torchrun_are_checked(variables, message, monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message), process_group():
        pass

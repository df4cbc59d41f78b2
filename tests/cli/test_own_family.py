"""A user adds a generator family as one file in compression/generators/; every command works with it."""
import json
import re
import shutil

import pytest
import torch

from commands import environment
from commands import run as run_command
from paths import ROOT

EXAMPLE = ROOT / "examples" / "resize_unet.py"
FOLDERS = ("compression", "data", "models", "options", "util")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the project with the example among the generators, under another name."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name,
                        ignore=shutil.ignore_patterns("__pycache__", "resize_unet.py"))
    for path in ROOT.glob("*.py"):
        shutil.copy(path, folder)
    text = EXAMPLE.read_text(encoding="utf-8").replace("resize_unet", "my_unet").replace("ResizeUnet",
                                                                                         "MyUnet")
    (folder / "compression" / "generators" / "my_unet.py").write_text(text, encoding="utf-8")
    return folder


def run(checkout, *arguments, status=0):
    """Run ``python ARGUMENTS`` in the checkout, with its modules only."""
    return run_command(*arguments, status=status, cwd=checkout, env=environment(PYTHONPATH=""))


def test_the_four_commands_run_with_an_added_family(checkout):
    run(checkout, "train.py", "--model", "ugc_supernet", "--name", "net", "--netG", "my_unet", "--ngf", "8",
        "--ndf", "4", "--load_size", "32", "--crop_size", "32", "--toy_train_images", "8",
        "--toy_test_images", "2", "--batch_size", "2", "--num_threads", "0", "--n_epochs", "1",
        "--n_epochs_decay", "0", "--label_ratio", "0.5")
    run(checkout, "search.py", "--name", "net", "--population", "4", "--generations", "1",
        "--search_images", "4", "--calibration_images", "4")
    run(checkout, "train.py", "--model", "ugc_distill", "--name", "student", "--supernet", "net",
        "--lambda_cd", "1", "--n_epochs", "1", "--n_epochs_decay", "0")
    run(checkout, "test.py", "--model", "ugc_student", "--name", "student")
    searched = json.loads((checkout / "checkpoints" / "net" / "search" / "student.json").read_text())
    assert searched["arch"]["family"] == "my_unet"
    networks = json.loads((checkout / "results" / "student" / "test_latest"
                           / "metrics.json").read_text())["networks"]
    assert networks["student"]["macs"] == searched["macs"] < networks["original"]["macs"]
    saved = torch.load(checkout / "checkpoints" / "student" / "latest_student.pth", weights_only=True)
    assert saved["arch"] == searched["arch"]
    assert saved["meta"]["stage"] == "distillation"
    searched_student = checkout / "checkpoints" / "net" / "latest_student.pth"
    start = torch.load(searched_student, weights_only=True)["state_dict"]
    assert any(not torch.equal(value, start[key]) for key, value in saved["state_dict"].items())


def test_an_added_family_is_last_in_the_table_whatever_its_name(checkout):
    shutil.copy(checkout / "compression" / "generators" / "my_unet.py", checkout / "aaa.py")
    text = (checkout / "aaa.py").read_text().replace("my_unet", "aaa")
    added = checkout / "compression" / "generators" / "aaa.py"
    added.write_text(text)
    try:
        done = run(checkout, "-c", "import compression as c; print(*c.GENERATORS)")
    finally:
        added.unlink()
    ours = ["resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128", "pix2pixhd", "pix2pixhd_local",
            "spade"]
    known = done.stdout.split()
    assert known[:7] == ours
    assert known[7:9] == ["aaa", "aaa_9blocks"]
    assert {"my_unet", "my_unet_9blocks"} <= set(known[9:])


REGISTERED_TWICE = """
from .unet import *
from ..elastic.families import register
from ..elastic.registry import FAMILIES
register(FAMILIES['unet'])
"""


@pytest.mark.parametrize(("text", "reason"),
                         [("def broken(:", "SyntaxError"), (REGISTERED_TWICE, "already registered")],
                         ids=["syntax", "twice"])
def test_a_file_that_cannot_be_loaded_is_named(checkout, text, reason):
    path = checkout / "compression" / "generators" / "broken.py"
    path.write_text(text)
    try:
        done = run(checkout, "-c", "import compression as c; c.GENERATORS", status=1)
    finally:
        path.unlink()
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert str(path) in last
    assert reason in last


def test_the_page_quotes_the_example():
    example = EXAMPLE.read_text(encoding="utf-8")
    page = (ROOT / "docs" / "own_generator.md").read_text(encoding="utf-8")
    quoted = re.findall(r"```python\n# examples/resize_unet.py\n(.*?)```", page, re.S)
    assert len(quoted) >= 5
    for piece in quoted:
        assert piece in example, piece

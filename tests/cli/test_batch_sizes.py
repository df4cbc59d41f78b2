"""Images of several sizes are refused before training where a batch needs one size; --check_data agrees."""
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from commands import train_here
from compression import SearchSpace, load_original, load_student
from models.recent_inputs import RecentInputs

TINY = ["--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--norm", "instance", "--netD", "pixel",
        "--no_dropout", "--n_epochs", "1", "--n_epochs_decay", "0", "--num_threads", "0", "--no_html",
        "--gpu_ids", "-1"]
SIZES = [(32, 32), (32, 32), (48, 32), (32, 48)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pairs of several sizes, single images of another size, and pairs of one size, 30x24."""
    root = tmp_path_factory.mktemp("sizes")
    rng = np.random.default_rng(0)

    def write(path, width, height):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)

    for phase in ("train", "val"):
        for i, (width, height) in enumerate(SIZES):
            write(root / "pairs" / phase / f"{i}.png", 2 * width, height)
            write(root / "odd" / phase / f"{i}.png", 60, 24)
            write(root / "equal" / phase / f"{i}.png", 64, 32)
    for i in range(3):
        write(root / "single" / f"{i}.png", 20, 36)
    return root


def ends(tmp_path, data, *arguments, status=0):
    """Run train.py with and without --check_data; both must have the same status. Returns their errors."""
    flags = ["--checkpoints_dir", tmp_path, "--name", "net", *TINY, *arguments]
    _, checked = train_here(*flags, "--check_data", status=status)
    _, trained = train_here(*flags, status=status)
    if status:
        assert checked.splitlines()[-1] == trained.splitlines()[-1]
        assert not (tmp_path / "net" / "latest_net_G.pth").exists()
    return trained


REFUSED = {
    "batch": (["--model", "pix2pix", "--dataroot", "pairs", "--batch_size", "2", "--preprocess", "none"],
              r"with --batch_size 2 the images of a batch need one size.*3 sizes .*: 32x32 \(2\)"),
    "unlabeled": (["--model", "ugc_supernet", "--dataroot", "pairs", "--label_ratio", "0.5", "--preprocess",
                   "none"], "with unlabeled inputs the images of a batch need one size"),
    "folder": (["--model", "ugc_supernet", "--dataroot", "equal", "--unlabeled_dir", "single", "--preprocess",
                "none"], r"32x32 \(4\), 20x36 \(3\)"),
    "unet": (["--model", "pix2pix", "--dataroot", "equal", "--preprocess", "none", "--netG", "unet_128"],
             r"the generator takes sides that are multiples of 128, got 32x32 \(HxW\).*4 of 4"),
    "scaled": (["--model", "pix2pix", "--dataroot", "odd", "--preprocess", "scale_width", "--load_size", "38",
                "--crop_size", "30"], r"got 30x38 \(HxW\)"),  # 30x24 at a width of 38
    "toy": (["--model", "pix2pix", "--crop_size", "30", "--load_size", "30"], "multiples of 4.* got 30x30")}


@pytest.mark.parametrize("case", REFUSED)
def test_sizes_that_cannot_be_trained_are_refused_before_training(tmp_path, data, case):
    arguments, message = REFUSED[case]
    arguments = [str(data / a) if (data / a).is_dir() else a for a in arguments]
    error = ends(tmp_path, data, *arguments, status=2)
    assert re.search(message, error), error


def test_several_sizes_train_one_by_one_or_as_crops_and_are_validated_whole(tmp_path, data):
    flags = ["--model", "pix2pix", "--dataroot", data / "pairs", "--eval_every", "1", "--eval_metrics", "L1"]
    ends(tmp_path / "a", data, *flags, "--preprocess", "none")
    ends(tmp_path / "b", data, *flags, "--preprocess", "crop", "--crop_size", "32", "--batch_size", "2")
    for run in "ab":
        assert "L1" in json.loads((tmp_path / run / "net" / "validation.jsonl").read_text())


def test_a_student_with_batch_norms_is_calibrated_on_inputs_of_several_sizes(tmp_path, data):
    flags = ["--dataroot", data / "pairs", "--preprocess", "none", "--norm", "batch"]
    ends(tmp_path, data, "--model", "ugc_supernet", *flags, "--label_ratio", "1", "--search_split", "0")
    folder = tmp_path / "net"
    space = SearchSpace.of(load_original(folder / "latest_net_G.pth").full, 4)
    (tmp_path / "arch.json").write_text(json.dumps(space.smallest.to_json()))
    stage_2 = ["--model", "ugc_distill", "--supernet", "net", "--teachers", "largest", "--student_arch",
               tmp_path / "arch.json", "--dataroot", data / "pairs", "--preprocess", "none", "--num_threads",
               "0", "--no_html", "--checkpoints_dir", tmp_path, "--n_epochs_decay", "0"]
    train_here(*stage_2, "--name", "whole", "--n_epochs", "2")
    train_here(*stage_2, "--name", "parts", "--n_epochs", "1")
    train_here("--name", "parts", "--checkpoints_dir", tmp_path, "--continue_train", "--n_epochs", "2")
    students = [load_student(tmp_path / name / "latest_student.pth") for name in ("whole", "parts")]
    for key, value in students[0].state_dict().items():
        assert torch.equal(value, students[1].state_dict()[key]), key
    state = torch.load(tmp_path / "whole" / "latest_state.pth", weights_only=True)
    shapes = {tuple(item.shape) for item in state["model"]["extra"]["recent"]}
    assert shapes == {(3, 32, 32), (3, 32, 48), (3, 48, 32)}


def test_recent_inputs_are_kept_in_batches_of_one_size():
    recent = RecentInputs()
    recent.add(torch.full((3, 4, 4), float(i)) for i in range(60))
    recent.add(torch.full((3, 8, 4), float(i)) for i in range(20))
    batches = list(recent.batches())
    assert [tuple(batch.shape) for batch in batches] == [(16, 3, 4, 4)] * 2 + [(12, 3, 4, 4), (16, 3, 8, 4),
                                                                           (4, 3, 8, 4)]
    assert batches[0][0, 0, 0, 0] == 16  # the oldest are dropped
    recent.add(torch.zeros(100, 3, 4, 4).share_memory_()[:2])
    assert recent.items[-1].untyped_storage().nbytes() == 4 * 3 * 4 * 4
    assert not recent.items[-1].is_shared()

"""Tests that need a GPU. All other tests run on the CPU, where results repeat bit for bit."""
import json
import math
import os

import pytest
import torch

from commands import environment, in_double
from commands import run as run_command
from compression import load_student
from tiny_runs import NETS, TINY, assert_same_training, losses

VISIBLE_GPUS = None if os.environ["UGC_TEST_GPUS"] == "all" else os.environ["UGC_TEST_GPUS"]
SMALL = [*TINY, *NETS["resnet"]]
LITTLE_MEMORY = """
import runpy, sys, torch
torch.cuda.set_per_process_memory_fraction(10e6 / torch.cuda.mem_get_info()[1])
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*arguments, status=0):
    """Run ``python ARGUMENTS`` in a process that sees the GPUs."""
    return run_command(*arguments, status=status, env=environment(CUDA_VISIBLE_DEVICES=VISIBLE_GPUS))


@pytest.fixture(scope="module")
def gpus():
    """The number of GPUs, at least 1."""
    count = int(run("-c", "import torch; print(torch.cuda.device_count())").stdout)
    if not count:
        pytest.skip("no GPU on this machine")
    return count


@pytest.mark.parametrize("amp", ["none", "bf16", "fp16"])
def test_the_four_commands_run_on_a_gpu(gpus, tmp_path, amp):
    at = ["--checkpoints_dir", tmp_path]
    precision = ["--amp", amp, "--channels_last"]
    run("train.py", "--model", "ugc_supernet", "--name", "net", *at, *SMALL, *precision, "--n_epochs", 2,
        "--label_ratio", "0.5")
    run("search.py", "--name", "net", *at, *precision, "--population", 4, "--generations", 2,
        "--search_images", 4, "--calibration_images", 4)
    run("train.py", "--model", "ugc_distill", "--name", "small", "--supernet", "net", *at, *precision,
        "--n_epochs", 2, "--n_epochs_decay", 0, "--print_freq", 4, "--ema", "0.9")
    run("test.py", "--model", "ugc_student", "--name", "small", *at, "--results_dir", tmp_path / "results")
    for name in ("net", "small"):
        assert all(math.isfinite(value) for line in losses(tmp_path / name) for value in line.values())
        state = torch.load(tmp_path / name / "latest_state.pth", weights_only=True, map_location="cpu")
        assert "cuda" in state["rng"][0]
    report = json.loads((tmp_path / "results" / "small" / "test_latest" / "metrics.json").read_text())
    assert report["networks"]["student"]["device"].startswith("cuda")
    assert load_student(tmp_path / "small" / "latest_student.pth")(torch.zeros(1, 3, 32, 32)).isfinite().all()


def test_ssim_on_the_gpu_equals_ssim_on_the_cpu(gpus):
    """The image is bright and nearly flat: rounding its squares to TF32 would be visible."""
    run("-c", """
import torch
from compression.distill.ssim import ssim
x = torch.rand(2, 3, 64, 64) * 0.01 + 0.9
y = x + torch.rand(2, 3, 64, 64) * 0.01
on_gpu = (t.cuda().contiguous(memory_format=torch.channels_last) for t in (x, y))
assert torch.allclose(ssim(*on_gpu).cpu(), ssim(x, y), atol=1e-4)
""")


def test_a_lack_of_gpu_memory_is_one_error_line_and_the_run_continues(gpus, tmp_path):
    at = ["--name", "x", "--checkpoints_dir", tmp_path]
    run("train.py", "--model", "pix2pix", *at, *SMALL, "--n_epochs", 1)
    saved = (tmp_path / "x" / "latest_state.pth").read_bytes()
    more = ["train.py", *at, "--continue_train", "--override", "--n_epochs", 2, "--batch_size", 16]
    done = run("-c", LITTLE_MEMORY, *more, status=2)
    assert "continuing at epoch 2" in done.stdout  # the networks fit, the step does not
    assert "error: out of memory" in done.stderr
    assert "--accumulate" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "x" / "latest_state.pth").read_bytes() == saved
    run(*more)


def test_two_gpus_train_as_one_gpu_does(gpus, tmp_path):
    if gpus < 2:
        pytest.skip("NCCL needs one GPU per process, and this machine has one GPU")
    for name, processes in (("one", 1), ("two", 2)):
        run(*in_double("train.py", "--model", "ugc_supernet", "--name", name, "--checkpoints_dir", tmp_path,
                       "--label_ratio", "0.5", *SMALL, "--batch_size", 4 // processes, "--n_epochs", 3,
                       processes=processes))
    assert_same_training(tmp_path / "one", tmp_path / "two")

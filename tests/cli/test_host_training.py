"""train.py as users run it: files on disk, exact continuation, errors in one line."""
import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from commands import environment, train_here
from commands import run as run_command
from models.base_model import BaseModel
from models.pix2pix_model import Pix2PixModel
from util.entry import one_line
from util.progress import Progress

PAIRS = 4
SMALL = ["--model", "pix2pix", "--netG", "resnet_6blocks", "--norm", "instance", "--ngf", "4", "--ndf", "4",
         "--load_size", "36", "--crop_size", "32", "--gpu_ids", "-1", "--num_threads", "0",
         "--print_freq", "2", "--display_freq", "2", "--update_html_freq", "2", "--save_epoch_freq", "1"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A data root with a few pairs of 32x32 pixels side by side."""
    root, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    (root / "train").mkdir()
    for i in range(PAIRS):
        Image.fromarray(rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)).save(root / "train" / f"{i}.png")
    return root


def command(pairs, runs, name, *arguments):
    return [*SMALL, "--dataroot", str(pairs), "--checkpoints_dir", str(runs), "--name", name, *arguments]


def train_process(*given, status=0):
    """Run train.py in a separate process."""
    return run_command("train.py", *command(*given), status=status, env=environment(OMP_NUM_THREADS="1"))


def train(*given, status=0):
    """Run train.py in this process, for speed; returns (standard output, standard error)."""
    return train_here(*command(*given), status=status)


def weights(runs, name, network="G"):
    return torch.load(runs / name / f"latest_net_{network}.pth", weights_only=True)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def run(pairs, tmp_path_factory):
    """A finished run of two epochs: (the folder of runs, the finished process)."""
    runs = tmp_path_factory.mktemp("runs")
    done = train_process(pairs, runs, "whole", "--n_epochs", "1", "--n_epochs_decay", "1")
    return runs, done


def test_a_run_writes_the_files_of_upstream(run):
    folder = run[0] / "whole"
    for tag in ("1", "2", "latest"):
        for network in "GD":
            state = torch.load(folder / f"{tag}_net_{network}.pth", weights_only=True)
            assert all(type(value) is torch.Tensor and value.device.type == "cpu" for value in state.values())
    # instance norm has no keys, and every convolution before one has a bias
    assert {"model.1.weight", "model.1.bias", "model.23.weight"} <= weights(run[0], "whole").keys()
    assert weights(run[0], "whole")["model.1.weight"].shape == (4, 3, 7, 7)
    assert (folder / "train_opt.txt").is_file()
    assert {p.name for p in (folder / "web" / "images").iterdir()} == {
        f"epoch{epoch:03d}_{visual}.png" for epoch in (1, 2) for visual in ("real_A", "fake_B", "real_B")}
    page = (folder / "web" / "index.html").read_text(encoding="utf-8")
    assert "Experiment name = whole" in page
    assert page.index("epoch [2]") < page.index("epoch [1]")
    assert not list(folder.glob(".*.tmp"))


def test_losses_are_logged_in_the_format_of_upstream(run):
    folder, done = run[0] / "whole", run[1]
    header, *lines = (folder / "loss_log.txt").read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"=+ Training Loss \(.+\) =+", header)
    form = (r"\(epoch: (\d+), iters: (\d+), time: \d+\.\d{3}, data: \d+\.\d{3}\) "
            r"G_GAN: \d+\.\d{3} G_L1: \d+\.\d{3} D_real: \d+\.\d{3} D_fake: \d+\.\d{3} ")
    assert [re.fullmatch(form, line).groups() for line in lines] == [("1", "2"), ("1", "4"), ("2", "2"),
                                                                     ("2", "4")]
    records = [json.loads(line)
               for line in (folder / "losses.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(records) == 4
    assert all(math.isfinite(r["G_L1"]) and r["G_L1"] > 0 for r in records)
    assert done.stdout.count(" left\n") == 4  # the remaining time


def test_the_learning_rate_decays_after_the_epoch(run):
    # linear policy, one constant and one decaying epoch: factors 1, 1/2
    rates = re.findall(r"learning rate ([\d.]+) -> ([\d.]+)", run[1].stdout)
    assert rates == [("0.0002000", "0.0001000"), ("0.0001000", "0.0000000")]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(run, pairs):
    runs = run[0]
    train(pairs, runs, "same", "--n_epochs", "1", "--n_epochs_decay", "1")
    train(pairs, runs, "other", "--n_epochs", "1", "--n_epochs_decay", "1", "--seed", "1")
    assert equal(weights(runs, "whole"), weights(runs, "same"))
    assert not equal(weights(runs, "whole"), weights(runs, "other"))


@pytest.mark.parametrize("images",
                         [2, 4, 7])  # inside the first epoch, after its last batch, inside the second
def test_an_interrupted_run_continues_exactly(run, pairs, images, monkeypatch):
    """With dropout, flips and crops, so random draws continue too. The complete run was another process."""
    runs, name, save = run[0], f"stopped{images}", Progress.save
    common = ["--n_epochs", "1", "--n_epochs_decay", "1", "--save_latest_freq", "1"]

    def stopping(self, *tags):
        save(self, *tags)
        if self.total_iters == images:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "save", stopping)
    assert train(pairs, runs, name, *common, status=130)[1].splitlines()[-1] == "interrupted"
    monkeypatch.setattr(Progress, "save", save)
    assert not equal(weights(runs, "whole"), weights(runs, name))
    train(pairs, runs, name, *common, "--continue_train")
    assert equal(weights(runs, "whole"), weights(runs, name))
    assert equal(weights(runs, "whole", "D"), weights(runs, name, "D"))


def test_two_runs_of_one_epoch_equal_one_run_of_two(pairs, tmp_path):
    train(pairs, tmp_path, "two", "--n_epochs", "2", "--n_epochs_decay", "0")
    train(pairs, tmp_path, "more", "--n_epochs", "1", "--n_epochs_decay", "0")
    train(pairs, tmp_path, "more", "--n_epochs", "2", "--n_epochs_decay", "0", "--continue_train")
    assert equal(weights(tmp_path, "two"), weights(tmp_path, "more"))


def test_continuing_a_finished_run_reports_that_it_is_finished(run, pairs):
    before = weights(run[0], "whole")
    out, _ = train(pairs, run[0], "whole", "--n_epochs", "1", "--n_epochs_decay", "1", "--continue_train")
    assert "whole is finished: it has run all 2 epochs" in out
    assert equal(before, weights(run[0], "whole"))


def test_a_run_of_upstream_continues_from_its_networks(run, pairs, tmp_path):
    (tmp_path / "theirs").mkdir()
    for network in "GD":
        torch.save(weights(run[0], "whole", network), tmp_path / "theirs" / f"latest_net_{network}.pth")
    out, _ = train(pairs, tmp_path, "theirs", "--n_epochs", "3", "--n_epochs_decay", "0", "--continue_train",
                   "--epoch_count", "3")
    assert "at epoch 3" in out
    assert "End of epoch 3 / 3" in out
    assert "End of epoch 1" not in out
    assert not equal(weights(run[0], "whole"), weights(tmp_path, "theirs"))


@pytest.mark.parametrize("extra",
                         [["--amp", "bf16"], ["--channels_last"], ["--amp", "bf16", "--channels_last"]])
def test_mixed_precision_and_channels_last_train(pairs, tmp_path, extra):
    train(pairs, tmp_path, "run", "--n_epochs", "1", "--n_epochs_decay", "0", "--batch_size", "2", *extra)
    state = weights(tmp_path, "run")
    assert all(v.dtype == torch.float32 and v.is_contiguous() and v.isfinite().all() for v in state.values())


@pytest.mark.parametrize(("arguments", "message"), [
    (["--lambda_L1", "1e39"], r"loss G_L1 is inf at epoch 1, iteration 1; no checkpoint was saved yet in .+"),
    (["--netG", "resnet_7"], r"--netG resnet_7 is unknown, known: .*resnet_9blocks.*"),
    (["--netG", "unet_256"], r"--netG unet_256: the generator takes sides that are .* 256, got 32x32.*"),
    (["--gan_mode", "none"], r"--gan_mode none is unknown, known: .*lsgan.*"),
    (["--continue_train"], r"--continue_train: .*run holds no saved run, there is nothing to continue; .*"),
    (["--phase", "val"], r"--dataroot: .*val is not a folder; folders in .*: train; --phase .* selects one"),
    (["--model", "cycle"], r"--model cycle is unknown, known: .*pix2pix.*"),
])
def test_errors_end_in_one_line_and_exit_status_2(pairs, tmp_path, arguments, message):
    out, err = train(pairs, tmp_path, "run", "--n_epochs", "1", "--n_epochs_decay", "0", *arguments, status=2)
    assert "Traceback" not in out + err
    assert re.fullmatch("error: " + message, err.splitlines()[-1]), err


def test_a_loss_that_overflows_stops_training_and_keeps_the_last_good_checkpoint(run, pairs):
    runs = run[0]
    train(pairs, runs, "nan", "--n_epochs", "1", "--n_epochs_decay", "0")
    kept = {p: p.read_bytes() for p in (runs / "nan").glob("*.pth")}
    _, err = train(pairs, runs, "nan", "--n_epochs", "2", "--n_epochs_decay", "0", "--continue_train",
                   "--lambda_L1", "1e39", "--override", "--save_latest_freq", "1", status=2)
    message = r"error: loss G_L1 is inf at epoch 2, iteration 5; the last good checkpoint stays in .+\n"
    assert re.fullmatch(message, err), err
    assert kept
    assert kept == {p: p.read_bytes() for p in (runs / "nan").glob("*.pth")}


def test_weights_that_are_not_finite_are_never_saved(run, pairs, monkeypatch):
    """A finite loss may still have a gradient that ruins the weights."""
    step = Pix2PixModel.optimize_parameters

    def ruining(self):
        step(self)
        self.netG.model["4"].weight.data[0, 0, 0, 0] = math.nan

    monkeypatch.setattr(Pix2PixModel, "optimize_parameters", ruining)
    _, err = train(pairs, run[0], "ruined", "--n_epochs", "1", "--n_epochs_decay", "0",
                   "--save_latest_freq", "1", status=2)
    message = (r"error: the weights of network G are NaN or infinite at epoch 1, iteration 1; "
               r"no checkpoint was saved yet in .+\n")
    assert re.fullmatch(message, err), err
    assert not list((run[0] / "ruined").glob("*.pth"))


@pytest.mark.parametrize(("arguments", "message"), [
    (["--batch_size", "2"], "--batch_size was 1, now 2"), (["--seed", "9"], "--seed was 0, now 9"),
    (["--ngf", "6"], "--ngf was 4, now 6"),
                                                    (["--lr", "0.001", "--beta1", "0.9"],
                                                     "--beta1 was 0.5, now 0.9; --lr was 0.0002, now"),
                                                    (["--ngf", "6", "--override"],
                                                     r"\(network G\): does not fit ResnetGenerator"),
])
def test_a_run_with_other_settings_is_not_continued(run, pairs, arguments, message):
    _, err = train(pairs, run[0], "whole", "--n_epochs", "5", "--continue_train", *arguments, status=2)
    assert re.search(message, err), err
    assert err.count("\n") == 1, err


def test_a_damaged_training_state_is_named(run, pairs, tmp_path):
    (tmp_path / "cut").mkdir()
    whole = (run[0] / "whole" / "latest_state.pth").read_bytes()
    (tmp_path / "cut" / "latest_state.pth").write_bytes(whole[:len(whole) // 2])
    _, err = train(pairs, tmp_path, "cut", "--continue_train", status=2)
    assert re.fullmatch(r"error: .*latest_state.pth: not a readable checkpoint.*\n", err), err


def test_an_error_of_a_loader_worker_is_reported_without_its_traceback():
    error = ValueError("Caught ValueError in DataLoader worker process 0.\n"
                       "Original Traceback (most recent call last):\n  File \"x.py\", line 1\n"
                       "ValueError: a.png: cannot be read as an image (truncated: 3 bytes)")
    assert one_line(error) == "a.png: cannot be read as an image (truncated: 3 bytes)"
    assert one_line(ValueError("plain: message")) == "plain: message"


class Doubler(torch.nn.Module):
    """A generator of stride 8 and minimum side 16 that checks the size of its inputs."""

    stride, min_strides, config = 8, 2, {"input_nc": 3}

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        assert all(side % 8 == 0 and side >= 16 for side in x.shape[2:])
        return self.factor * x


@pytest.mark.parametrize(("height", "width"), [(8, 16), (13, 21), (3, 2), (1, 9)])
def test_translate_pads_and_crops_back(height, width):
    model = BaseModel.__new__(type("Model", (BaseModel,),
                                   {"set_input": None, "forward": None, "optimize_parameters": None}))
    model.opt, model.device, model.netG = None, torch.device("cpu"), Doubler()
    image = torch.rand(1, 3, height, width)
    assert torch.equal(model.translate(image), 2 * image)

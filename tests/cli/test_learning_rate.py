"""--lr_policy: the learning rate of every epoch, also when a run is continued or made longer."""
import json
import re

import pytest
import torch

from commands import train_here
from models.checkpointing import load_scheduler
from models.stepping import build_scheduler
from options.train_options import TrainOptions

RUN = ["--model", "pix2pix", "--netG", "resnet_6blocks", "--norm", "instance", "--ngf", "4", "--ndf", "4",
       "--load_size", "16", "--crop_size", "16", "--toy_train_images", "2", "--toy_test_images", "2",
       "--netD", "pixel", "--batch_size", "2", "--num_threads", "0", "--no_html", "--gpu_ids", "-1",
       "--lr", "0.001"]


def rates(output):
    """Return the learning rate of every epoch from the lines that training prints."""
    return [float(rate) for rate in re.findall(r"learning rate (\S+) ->", output)]


def scheduled(epochs, *flags):
    """Return the learning rates of so many epochs for --lr 1."""
    opt = TrainOptions().gather([*RUN, "--lr", "1", *flags])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=opt.lr)
    scheduler = build_scheduler(optimizer, opt)
    values = []
    for _ in range(epochs):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def test_cosine_falls_over_all_epochs():
    # (1 + cos(pi t / 4)) / 2 for t = 0, 1, 2, 3
    expected = [1.0, 0.8535534, 0.5, 0.1464466]
    for flags in (["2", "2"], ["0", "4"], ["4", "0"]):
        values = scheduled(4, "--lr_policy", "cosine", "--n_epochs", flags[0], "--n_epochs_decay", flags[1])
        assert values == pytest.approx(expected, abs=1e-6), flags


def test_a_schedule_starts_at_epoch_count():
    flags = ["--n_epochs", "2", "--n_epochs_decay", "2", "--epoch_count", "3"]
    assert scheduled(2, "--lr_policy", "cosine", *flags) == pytest.approx([0.5, 0.1464466], abs=1e-6)
    assert scheduled(2, "--lr_policy", "linear", *flags) == pytest.approx([2 / 3, 1 / 3])
    assert scheduled(2, "--lr_policy", "step", "--lr_decay_iters", "2", *flags) == pytest.approx([0.1, 0.1])


def test_step_and_linear_are_those_of_upstream():
    step = scheduled(5, "--lr_policy", "step", "--lr_decay_iters", "2", "--n_epochs", "5")
    assert step == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    linear = scheduled(5, "--n_epochs", "2", "--n_epochs_decay", "3")
    assert linear == pytest.approx([1, 1, 0.75, 0.5, 0.25])
    assert scheduled(2, "--n_epochs", "0", "--n_epochs_decay", "2") == pytest.approx([2 / 3, 1 / 3])


def test_a_longer_run_has_the_period_of_its_length(tmp_path):
    at = [*RUN, "--checkpoints_dir", tmp_path, "--name", "run", "--lr_policy", "cosine",
          "--n_epochs_decay", "1"]
    first, _ = train_here(*at, "--n_epochs", "1")
    assert rates(first) == pytest.approx([0.001, 0.0005])
    second, _ = train_here(*at, "--n_epochs", "3", "--continue_train")
    assert rates(second) == pytest.approx([0.0005, 0.0001464], abs=1e-7)


def test_the_state_of_earlier_versions_still_loads():
    opt = TrainOptions().gather([*RUN, "--lr", "1", "--lr_policy", "cosine", "--n_epochs", "2",
                                 "--n_epochs_decay", "2"])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    earlier = {"T_max": 2, "eta_min": 0, "base_lrs": [1.0], "last_epoch": 3, "_step_count": 4,
               "_last_lr": [0.5], "_get_lr_called_within_step": False}
    load_scheduler(build_scheduler(optimizer, opt), earlier)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1464466, abs=1e-6)


def plateau(tmp_path, monkeypatch, values, *flags):
    """Train with --lr_policy plateau and these values of the validations; returns the rates."""
    from models.measuring import Measuring

    remaining = iter(values)
    monkeypatch.setattr(Measuring, "validate", lambda *arguments: next(remaining))
    out, _ = train_here(*RUN, "--checkpoints_dir", tmp_path, "--lr_policy", "plateau", *flags)
    return rates(out)


def test_plateau_sees_the_metric_of_the_validation(tmp_path, monkeypatch):
    falling = [{"L1": 0.9 ** epoch, "PSNR": 1.0} for epoch in range(8)]
    at = ["--eval_every", "1", "--n_epochs", "9", "--n_epochs_decay", "0"]
    improving = plateau(tmp_path, monkeypatch, [*falling, falling[-1]], "--name", "improving", *at)
    assert improving == pytest.approx([0.001] * 9)
    constant = [{"L1": 1.0, "PSNR": float(epoch)} for epoch in range(9)]
    # the first value is the best; after six more without an improvement the rate is a fifth
    stuck = plateau(tmp_path, monkeypatch, constant, "--name", "stuck", *at)
    assert stuck == pytest.approx([0.001] * 7 + [0.0002] * 2)
    rising = plateau(tmp_path, monkeypatch, constant, "--name", "rising", *at, "--eval_metrics", "psnr", "L1")
    assert rising == pytest.approx([0.001] * 9)  # a higher PSNR is better


def test_plateau_counts_validations_and_continues_exactly(tmp_path, monkeypatch):
    at = ["--name", "run", "--eval_every", "2", "--n_epochs_decay", "0"]
    before = plateau(tmp_path, monkeypatch, [{"L1": 1.0}] * 6, *at, "--n_epochs", "12")
    after = plateau(tmp_path, monkeypatch, [{"L1": 1.0}] * 2, *at, "--n_epochs", "16", "--continue_train")
    # validations after the epochs 2, 4, ..., 14: the seventh is the sixth without an improvement
    assert before == pytest.approx([0.001] * 12)
    assert after == pytest.approx([0.001] * 2 + [0.0002] * 2)
    rows = [json.loads(line) for line in (tmp_path / "run/validation.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(2, 17, 2))


@pytest.mark.parametrize(("flags", "message"), [
    (["--lr_policy", "plateau"], "--lr_policy plateau monitors the validation, but there is none; add "
                                 "--eval_every N"),
    (["--n_epochs", "0", "--n_epochs_decay", "0"], "leaves no epoch to train"),
    (["--epoch_count", "9", "--n_epochs", "4", "--n_epochs_decay", "4"], "--epoch_count 9: the last epoch is "
                                                                         "8")])
def test_schedules_that_cannot_be_are_refused(tmp_path, flags, message):
    _, err = train_here(*RUN, "--checkpoints_dir", tmp_path, *flags, status=2)
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())

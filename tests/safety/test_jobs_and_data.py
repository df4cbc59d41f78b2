"""A continued run notices changed images; the processes of a job have equal settings and stop together."""
import os
import signal

import numpy as np
import pytest
from PIL import Image

from commands import train_here
from compression.runtime import distributed
from util.data_fingerprint import describe_change, fingerprint
from util.signals import StopSignals

FLAGS = ["--model", "pix2pix", "--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--load_size", "32",
         "--crop_size", "32", "--gpu_ids", "-1", "--num_threads", "0", "--no_html", "--n_epochs_decay", "0"]


def save_pair(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_a_resume_mentions_changed_training_images(tmp_path):
    for index in range(2):
        save_pair(tmp_path / "data" / "train" / f"{index}.png", index)
    run = [*FLAGS, "--checkpoints_dir", tmp_path / "runs", "--name", "run"]
    train_here(*run, "--dataroot", tmp_path / "data", "--n_epochs", "1")
    _, unchanged = train_here(*run, "--n_epochs", "2", "--continue_train")
    assert "changed" not in unchanged
    save_pair(tmp_path / "data" / "train" / "2.png", 2)
    _, changed = train_here(*run, "--n_epochs", "3", "--continue_train")
    assert "warning: the training images have changed since the last save (2 inputs, now 3)" in changed
    (tmp_path / "data" / "train" / "2.png").rename(tmp_path / "data" / "train" / "3.png")
    _, renamed = train_here(*run, "--n_epochs", "4", "--continue_train")
    assert "the 3 inputs have other names or sizes" in renamed


def test_a_data_set_may_move_to_another_folder(tmp_path):
    for folder in ("a", "b"):
        save_pair(tmp_path / folder / "x.png", 0)
    assert fingerprint([tmp_path / "a" / "x.png"]) == fingerprint([tmp_path / "b" / "x.png"])


def test_states_without_a_fingerprint_say_nothing():
    assert describe_change(None, fingerprint([])) is None


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_with_other_values_are_refused_in_one_line(monkeypatch, rank):
    everywhere = [{"--seed": "0", "--lr": "0.1"}, {"--seed": "1", "--lr": "0.1"}]
    monkeypatch.setattr(distributed, "all_gather_objects", lambda value: everywhere)
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    error = ValueError if rank == 0 else distributed.ProcessLost  # only process 0 prints it
    with pytest.raises(error) as raised:
        distributed.check_equal(everywhere[rank], "their settings")
    assert str(raised.value) == ("the processes of the job differ in their settings: "
                                 "--seed is 0 in process 0 and 1 in process 1")


def test_equal_values_are_accepted(monkeypatch):
    monkeypatch.setattr(distributed, "all_gather_objects", lambda value: [value, value])
    distributed.check_equal({"--seed": 0}, "their settings")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_under_torchrun_a_repeated_sigterm_does_not_prevent_the_save(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")  # torchrun sets it for its workers
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)  # from the scheduler
        os.kill(os.getpid(), signal.SIGTERM)  # passed on by torchrun
        assert stop.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before

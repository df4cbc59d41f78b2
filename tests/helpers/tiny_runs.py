"""Flags of tiny training runs, and the comparison of two runs."""
import json

import pytest
import torch

TINY = ["--ngf", "8", "--ndf", "8", "--toy_train_images", "16", "--toy_test_images", "4",
        "--num_threads", "0", "--n_epochs_decay", "0", "--print_freq", "4", "--no_html", "--no_dropout"]
NETS = {"resnet": ["--netG", "resnet_6blocks", "--norm", "instance", "--load_size", "32",
                   "--crop_size", "32"],
        "unet": ["--netG", "unet_128", "--norm", "syncbatch", "--load_size", "128", "--crop_size", "128"]}


def weights(folder):
    """Return every tensor of the networks in the training state of a run."""
    networks = torch.load(folder / "latest_state.pth", weights_only=True)["model"]["networks"]
    return {f"{name}.{key}": value for name, state in networks.items() for key, value in state.items()}


def losses(folder):
    """Return the rows of a run's losses.jsonl."""
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def assert_same_weights(folder, other):
    """Check that two runs end with the same weights, within 1e-5."""
    ours, theirs = weights(folder), weights(other)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert torch.allclose(value.double(), theirs[key].double(), rtol=0, atol=1e-5), key


def assert_same_training(folder, other):
    """Check that two runs have the same losses and weights, within 1e-5."""
    ours, theirs = losses(folder), losses(other)
    assert ours
    assert len(ours) == len(theirs)
    for our_row, their_row in zip(ours, theirs, strict=True):
        assert our_row == pytest.approx(their_row, rel=1e-5, abs=1e-5)
    assert_same_weights(folder, other)

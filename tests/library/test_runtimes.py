"""The runtimes: the same numbers as PyTorch, threads, sizes, latency, and messages."""
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from compression import build_generator
from compression.deploy import runtimes
from compression.deploy.runtimes import RUNTIMES, latency_ms, open_network, open_session
from compression.runtime import timing

GENERATORS = {"resnet": ("resnet_6blocks", 3, "instance"), "unet": ("unet_128", 3, "batch"),
              "pix2pixhd": ("global", 5, "instance"), "spade": ("spade", 5, "batch")}
SIZES = {"unet": (128, 128), "spade": (64, 128)}


def tiny(family):
    """Return a tiny generator in eval mode, and an input of it."""
    netG, input_nc, norm = GENERATORS[family]
    torch.manual_seed(0)
    net = build_generator(netG, input_nc, 3, 4, norm, False).eval()
    return net, torch.rand(1, input_nc, *SIZES.get(family, (32, 48))) * 2 - 1


@pytest.mark.parametrize(("family", "runtime"), [
    ("resnet", "onnxruntime"), ("spade", "onnxruntime"), ("resnet", "torch"), ("unet", "openvino")])
def test_networks_give_the_same_numbers_in_every_runtime(family, runtime):
    net, x = tiny(family)
    session = open_network(net, x, runtime, threads=1)
    with torch.no_grad():
        expected = net(x).numpy()
    np.testing.assert_allclose(session(x.numpy()), expected, rtol=0, atol=1e-4)
    assert (session.runtime, session.threads) == (runtime, 1)
    assert session.inputs[0].shape == tuple(x.shape)


def test_a_network_is_run_in_eval_mode_and_its_mode_is_restored():
    net, x = tiny("unet")
    expected = net(x).detach().numpy()
    net.train()
    np.testing.assert_array_equal(open_network(net, x, "torch")(x.numpy()), expected)
    assert net.training


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_another_size_than_the_fixed_one_is_rejected(runtime):
    session = open_network(nn.Conv2d(3, 3, 3, padding=1), torch.zeros(1, 3, 8, 8), runtime, threads=1)
    for shape, hint in {(1, 3, 8, 10): "--dynamic_size", (2, 3, 8, 8): "--batch_size"}.items():
        with pytest.raises(ValueError, match=f"1x3x8x8 float32, got {'x'.join(map(str, shape))}.*{hint}"):
            session(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="got 1x3x8x8 float64"):
        session(np.zeros((1, 3, 8, 8)))
    with pytest.raises(ValueError, match="takes 1 inputs .*, got 2"):
        session(np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 3, 8, 8), np.float32))


def test_threads_are_set_for_the_call_only():
    seen = []

    class Probe(nn.Module):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return x

    before = torch.get_num_threads()
    open_network(Probe(), torch.zeros(1), "torch", threads=before + 1)(np.zeros(1, np.float32))
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_latency_is_the_median_after_the_warm_up(monkeypatch):
    durations = [9, 9, 1, 2, 30]  # seconds of the calls; the first two are the warm-up
    clock = iter([time for i, d in enumerate(durations) for time in (100 * i, 100 * i + d)])
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    session = open_network(nn.Identity(), torch.zeros(1), "torch")
    assert latency_ms(session, np.zeros(1, np.float32), seconds=30) == 2000


@pytest.mark.parametrize("package", ["onnxruntime", "openvino"])
def test_a_missing_package_is_named_with_the_way_to_install_it(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"package {package}: pip install -r requirements-export.txt"):
        open_network(nn.Identity(), torch.zeros(1, 3, 4, 4), package)


@pytest.mark.parametrize(("name", "runtime", "message"), [
    ("net.pth", None, "is not an exported file, which ends in .onnx, .xml"),
    ("net.onnx", "tensorrt", "runtime tensorrt"),
    ("net.pt2", "onnxruntime", "onnxruntime does not open files ending in .pt2"),
    ("missing.onnx", None, "no such file"),
    *[(f"net{suffix}", None, "cannot be opened in") for suffix in runtimes.SUFFIXES]])
def test_files_that_cannot_be_opened(name, runtime, message, tmp_path):
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"not a network")
    with pytest.raises(ValueError, match=message):
        open_session(tmp_path / name, runtime)


def test_the_number_of_threads_is_at_least_one():
    with pytest.raises(ValueError, match="--threads must be at least 1, got 0"):
        open_network(nn.Identity(), torch.zeros(1), "torch", threads=0)

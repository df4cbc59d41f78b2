"""An extracted sub-network equals the supernet's slice; calibration sets its batch-norm statistics."""
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from compression import Arch, SearchSpace, build_generator, calibrate, cost, extract
from compression.elastic.registry import FAMILIES
from compression.search.scoring import Scorer

NETS = {name: list(family.full)[-1] for name, family in FAMILIES.items()}
STEM_INPUT = {"resnet": lambda x: nn.functional.pad(x, (3,) * 4, "reflect"),
              "pix2pixhd": lambda x: nn.functional.pad(x, (3,) * 4, "reflect"),
              "spade": lambda x: x[..., ::64, ::64]}  # nearest neighbors of the latent's pixels


def supernet(family, norm="batch", ngf=8):
    torch.manual_seed(0)
    net = build_generator(NETS[family], 3, 3, ngf, norm, dropout=True)
    for parameter in net.parameters():
        mean, deviation = (0, 0.1) if parameter.dim() > 1 else (0.5, 0.3)
        nn.init.normal_(parameter, mean, deviation)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("norm", ["batch", "instance"])
@torch.no_grad()
def test_extracted_network_equals_the_supernet_slice_and_has_its_cost(family, norm):
    net = supernet(family, norm)
    space = SearchSpace.of(net.full, 8)
    side = max(32, 2 * net.stride)
    x = torch.randn(1, 3, side, side)
    for arch in space.sample(np.random.default_rng(0), 50):
        student = extract(net, arch)
        assert (student(x) - net(x, arch)).abs().max() <= 1e-6
        parameters = sum(p.numel() for p in student.parameters())
        assert parameters == cost(arch, (side, side), 3, norm=norm)["params"]


@pytest.mark.parametrize("family", list(FAMILIES))
@torch.no_grad()
def test_the_full_slice_equals_the_network(family):
    net = supernet(family)
    x = torch.randn(1, 3, max(32, 2 * net.stride), max(32, 2 * net.stride))
    assert torch.equal(net(x), net(x, net.full))
    assert torch.equal(extract(net, net.full)(x), net(x))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_sub_networks_do_not_change_the_statistics_of_the_full_network(family):
    net = supernet(family).train()
    x = torch.randn(2, 3, max(32, 2 * net.stride), max(32, 2 * net.stride))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net(x, SearchSpace.of(net.full, 8).smallest)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    net(x)
    assert any(not torch.equal(before[k], v) for k, v in net.state_dict().items())


@pytest.mark.parametrize("family", list(FAMILIES))
@torch.no_grad()
def test_calibration_is_the_average_over_the_batches(family):
    net = supernet(family)
    arch = SearchSpace.of(net.full, 8).sample(np.random.default_rng(4), 1)[0]
    student = extract(net, arch)
    first_conv = next(m for m in student.modules() if isinstance(m, nn.Conv2d))
    first_norm = next(m for m in student.modules() if isinstance(m, nn.BatchNorm2d))
    side = max(32, 2 * student.stride)
    batches = [torch.randn(2, 3, side, side) for _ in range(3)]
    calibrate(student, batches)
    assert not student.training
    if family in STEM_INPUT:  # the stem sees only the input: its statistics follow by hand
        outputs = [first_conv(STEM_INPUT[family](b)) for b in batches]
        means = torch.stack([output.mean((0, 2, 3)) for output in outputs])
        variances = torch.stack([output.var((0, 2, 3)) for output in outputs])
        assert torch.allclose(first_norm.running_mean, means.mean(0), atol=1e-5)
        assert torch.allclose(first_norm.running_var, variances.mean(0), atol=1e-4)
    calibrated = extract(net, arch)
    calibrate(calibrated, batches[:1])  # one batch: eval mode then normalizes almost as train mode does
    expected = extract(net, arch).train()(batches[0])
    error = (calibrated(batches[0]) - expected).abs().mean()
    assert error < 0.15 * expected.abs().mean() + 0.02


def test_another_family_is_refused():
    net = supernet("resnet")
    with pytest.raises(ValueError, match="not a sub-network of the supernet"):
        extract(net, Arch("unet", encoder=(4,) * 5, decoder=(4,) * 4))


def test_a_larger_architecture_is_refused():
    net = supernet("resnet", ngf=4)
    with pytest.raises(ValueError, match="not a sub-network of the supernet"):
        extract(net, net.full.replace(trunk=64))
    with pytest.raises(ValueError, match="not a sub-network of the network"):
        net(torch.zeros(1, 3, 32, 32), net.full.replace(stem=(4, 12)))
    with pytest.raises(ValueError, match="not a sub-network of the supernet"):
        extract(net, net.full.replace(inner=(8,) * 10))


@pytest.mark.parametrize("family", list(FAMILIES))
@torch.no_grad()
def test_images_of_another_number_of_channels_are_refused(family):
    """Elastic layers slice their weights to the input, so they would compute with some of the channels."""
    net = supernet(family)
    side = max(32, 2 * net.stride)
    for network in (net, extract(net, SearchSpace.of(net.full, 8).smallest)):
        for channels in (1, 2, 4):
            with pytest.raises(ValueError, match=rf"\(N, 3, H, W\), got \(1, {channels}, .*to_tensor"):
                network(torch.zeros(1, channels, side, side))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_agreement_of_the_largest_network_is_zero_whatever_its_running_statistics(family):
    net = supernet(family)
    side = max(32, 2 * net.stride)
    inputs = [torch.randn(2, 3, side, side) for _ in range(2)]
    pairs = [(x, torch.zeros(2, 3, *net(x).shape[2:])) for x in inputs]
    scorer = Scorer(net, pairs, inputs, "agreement", nullcontext)
    assert scorer(net.full) == 0
    assert scorer(SearchSpace.of(net.full, 8).smallest) > 0.01


def test_only_the_network_of_a_score_runs_in_bf16():
    net = supernet("resnet", "instance")
    inputs = [torch.randn(1, 3, 32, 32) for _ in range(2)]
    scorer = Scorer(net, [], [], "agreement", lambda: torch.autocast("cpu", torch.bfloat16), inputs=inputs)
    for x, image in zip(inputs, scorer.images(net, inputs), strict=True):
        assert not torch.is_autocast_enabled("cpu")  # metrics follow
        assert image.dtype is torch.float32
        with torch.no_grad():
            assert 0 < (image - net(x)).abs().max() < 0.5

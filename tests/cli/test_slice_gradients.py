"""The gradients of a supernet's slices, added in place, next to those of autograd."""
import contextlib
from argparse import Namespace

import pytest
import torch

from benchmarks import train_step
from compression import SearchSpace, build_generator
from compression.elastic.slices import gradients_in_place, slice_of
from models import create_model, ugc_supernet_model

FAMILIES = {"resnet": ("resnet_6blocks", "64x64", "instance"), "unet": ("unet_128", "128x128", "batch"),
            "pix2pixhd": ("pix2pixhd", "64x128", None), "spade": ("spade", "64x128", None)}


@pytest.mark.parametrize(("family", "flags"), [
    *((family, "") for family in FAMILIES), ("resnet", "--n_random_nets 2 --accumulate 2")])
def test_a_step_of_the_supernet_is_the_same(tmp_path, monkeypatch, family, flags):
    netG, size, norm = FAMILIES[family]
    settings = Namespace(netG=netG, ngf=8, ndf=8, size=size, norm=norm, batch_size=2, channels_last=True)
    states = []
    for context in (gradients_in_place, lambda enabled: contextlib.nullcontext()):
        monkeypatch.setattr(ugc_supernet_model, "gradients_in_place", context)
        torch.manual_seed(0)
        opt = train_step.options("ugc_supernet", "none", settings, tmp_path, flags)
        model = create_model(opt)
        model.setup(opt)
        batch = train_step.random_batch(opt, settings)
        for _ in range(2):
            model.train_step(batch)
        states.append(model.netG.state_dict())
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def test_only_weights_that_have_a_gradient_change_it_in_place():
    net = build_generator("resnet_6blocks", ngf=8, norm="instance")
    arch = SearchSpace.of(net.full, 8).smallest
    x = torch.randn(1, 3, 32, 32)
    expected = torch.autograd.grad(net(x, arch).sum(), list(net.parameters()), allow_unused=True)
    with gradients_in_place():
        first = net(x, arch).sum()
    first.backward()  # no weight has a gradient yet
    for p, gradient in zip(net.parameters(), expected, strict=True):
        assert p.grad is None if gradient is None else torch.equal(p.grad, gradient)
    with gradients_in_place():
        second = net(x, arch).sum()
    second.backward()
    for p, gradient in zip(net.parameters(), expected, strict=True):
        assert p.grad is None if gradient is None else torch.allclose(p.grad, 2 * gradient)


def test_without_the_context_no_gradient_changes():
    weight = torch.nn.Parameter(torch.randn(4, 5))
    weight.grad = torch.ones(4, 5)
    gradient, = torch.autograd.grad(slice_of(weight, (0, 0, 2), (1, 1, 3)).sum(), weight)
    assert torch.equal(weight.grad, torch.ones(4, 5))
    assert gradient.sum() == 6
    with gradients_in_place(enabled=False):
        part = slice_of(weight, (0, 0, 2), (1, 1, 3))
    part.sum().backward()
    assert weight.grad.sum() == 26
    assert slice_of(weight, (0, 0, 4), (1, 0, 5)) is weight

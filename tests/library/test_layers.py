"""A slice of an elastic layer equals an ordinary layer with the leading channels of its weights."""
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from compression.elastic.layers import ElasticBatchNorm2d, ElasticConv2d, ElasticConvTranspose2d, make_norm


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("used", "out"), [((6, 4), 8), ((6, 4), 5), ((3, 4), 8), ((6, 2), 3), ((1, 1), 1),
                                           ((4,), 8)])
@pytest.mark.parametrize("transposed", [False, True])
@torch.no_grad()
def test_convolution_of_concatenated_inputs_slices_in_groups(used, out, transposed):
    full = (ElasticConvTranspose2d if transposed else ElasticConv2d)((6, 4), 8, 3, stride=2, padding=1)
    plain = (nn.ConvTranspose2d if transposed else nn.Conv2d)(sum(used), out, 3, stride=2, padding=1)
    rows = [i for start, width in zip((0, 6), used, strict=False) for i in range(start, start + width)]
    weight = full.weight.transpose(0, 1) if transposed else full.weight
    sliced = weight[:out][:, rows]
    plain.weight.copy_(sliced.transpose(0, 1) if transposed else sliced)
    plain.bias.copy_(full.bias[:out])
    parts = [torch.randn(2, width, 9, 9) for width in used]
    assert torch.allclose(full(parts, out), plain(torch.cat(parts, 1)), atol=1e-6)
    if sum(used) == 10 and out == 8:
        assert torch.equal(full(parts), full(torch.cat(parts, 1)) if len(parts) == 1 else full(parts, 8))


def test_gradients_reach_only_the_slice():
    conv = ElasticConv2d(6, 8, 3)
    conv(torch.randn(1, 4, 5, 5), 3).sum().backward()
    touched = conv.weight.grad.abs().sum((2, 3)) > 0
    assert touched[:3, :4].all()
    assert touched.sum() == 12
    assert (conv.bias.grad != 0).tolist() == [True] * 3 + [False] * 5


@pytest.mark.parametrize(("parts", "message"),
                         [([7], "6 input channels, got 7"), ([6, 1], "takes 1 inputs, got 2")])
def test_inputs_of_other_widths_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        ElasticConv2d(6, 8, 3)([torch.randn(1, width, 5, 5) for width in parts])


@torch.no_grad()
def test_batch_norm_of_a_slice_equals_plain_batch_norm():
    full, plain = ElasticBatchNorm2d(6), nn.BatchNorm2d(4)
    for name, value in full.state_dict().items():
        if value.dim():
            value.uniform_(0.5, 2)
            plain.state_dict()[name].copy_(value[:4])
    x = torch.randn(3, 4, 5, 5)
    assert torch.allclose(full.eval()(x), plain.eval()(x), atol=1e-6)
    before = full.running_mean.clone()
    assert torch.allclose(full.train()(x, track=False), plain.train()(x), atol=1e-6)
    assert torch.equal(full.running_mean, before)
    full(torch.randn(3, 6, 5, 5))
    assert not torch.equal(full.running_mean, before)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(1, 5, 4, 6), (3, 5, 4, 6), (2, 1, 3, 1)])
def test_instance_norm_is_that_of_pytorch_with_its_derivatives(layout, shape):
    x = (3 * torch.randn(shape, dtype=torch.double) + 1).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(shape, dtype=torch.double)
    norm = make_norm("instance", 8).train()
    results = []
    for function in (norm, functools.partial(F.instance_norm, eps=norm.eps)):
        y = function(x)
        gradient, = torch.autograd.grad((y * weight).sum(), x, create_graph=True)
        second, = torch.autograd.grad(gradient.square().sum(), x)  # of gradient penalties
        results.append((y, gradient, second))
    for value, expected in zip(*results, strict=True):
        torch.testing.assert_close(value, expected)
    assert norm(x).is_contiguous(memory_format=layout)
    assert not norm(x[:1].detach()).requires_grad


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_of_bf16_is_rounded_once(layout):
    x = (3 * torch.randn(2, 5, 16, 16) + 100).bfloat16().contiguous(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        y = make_norm("instance", 5)(x)
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.float(), F.instance_norm(x.float()), rtol=2 ** -8, atol=1e-3)


def test_traced_graphs_hold_instance_norm_itself():
    norm = make_norm("instance", 4)
    x = torch.randn(2, 4, 6, 6).contiguous(memory_format=torch.channels_last)
    assert "instance_norm" in str(torch.jit.trace(norm, x).graph)
    assert "instance_norm" in str(torch.export.export(norm, (x,)).graph)


def test_norms_are_built_by_name():
    x = torch.randn(2, 4, 6, 6) * 3 + 1
    assert torch.allclose(make_norm("instance", 8)(x).mean((2, 3)), torch.zeros(2, 4), atol=1e-5)
    assert torch.equal(make_norm("none", 8)(x), x)
    assert set(make_norm("syncbatch", 8).state_dict()) == set(make_norm("batch", 8).state_dict())
    assert not make_norm("instance", 8).state_dict()
    with pytest.raises(ValueError, match="--norm group is unknown, known: instance, batch"):
        make_norm("group", 8)


@pytest.mark.parametrize(("elastic", "plain"),
                         [(ElasticConv2d, nn.Conv2d), (ElasticConvTranspose2d, nn.ConvTranspose2d)])
@torch.no_grad()
def test_dilation_is_kept_and_groups_are_refused(elastic, plain):
    full, x = elastic(6, 8, 3, padding=2, dilation=2), torch.randn(1, 6, 9, 9)
    same = plain(6, 8, 3, padding=2, dilation=2)
    same.load_state_dict(full.state_dict())
    assert torch.equal(full(x), same(x))
    with pytest.raises(ValueError, match="groups=1 .* got groups=2"):
        elastic(6, 8, 3, groups=2)


def test_padding_modes_are_refused():
    with pytest.raises(ValueError, match="pad with F.pad.*'reflect'"):
        ElasticConv2d(6, 8, 3, padding=1, padding_mode="reflect")

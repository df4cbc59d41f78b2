"""Convolutions as products of matrices, next to PyTorch's convolutions in double precision."""
import pytest
import torch
from torch.nn import functional as F

from compression import build_generator
from compression.elastic import matrix_convolutions
from compression.elastic.layers import ElasticConv2d, ElasticConvTranspose2d
from compression.originals.discriminators import build_discriminator
from compression.originals.objectives import gradient_penalty
from compression.originals.regularization import r1_penalty

LAYERS = {
    "of a U-Net": (ElasticConv2d, 6, 5, {"kernel_size": 4, "stride": 2, "padding": 1, "bias": False}),
    "of a ResNet": (ElasticConv2d, 3, 4, {"kernel_size": 3}),
    "dilated": (ElasticConv2d, 4, 3, {"kernel_size": (2, 3), "stride": (1, 2), "padding": (2, 0),
                                      "dilation": (2, 1)}),
    "transposed": (ElasticConvTranspose2d, (4, 3), 5, {"kernel_size": 4, "stride": 2, "padding": 1}),
    "transposed and dilated": (ElasticConvTranspose2d, 4, 3, {"kernel_size": (3, 2), "stride": (3, 2),
                                                              "padding": (1, 0), "dilation": (1, 2)})}


def make(name):
    kind, widths, out, settings = LAYERS[name]
    torch.manual_seed(0)
    return kind(widths, out, **settings).to(memory_format=torch.channels_last), widths, out


def inputs_of(widths, dtype):
    generator = torch.Generator().manual_seed(1)
    widths = (widths,) if isinstance(widths, int) else widths
    return [torch.randn(2, width, 10, 7, generator=generator).to(dtype).requires_grad_() for width in widths]


def expected(layer, inputs, weight, bias):
    x = torch.cat(inputs, 1)
    if isinstance(layer, ElasticConvTranspose2d):
        return F.conv_transpose2d(x, weight, bias, layer.stride, layer.padding, 0, 1, layer.dilation)
    return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation)


@pytest.mark.parametrize("out", [None, 2])
@pytest.mark.parametrize("name", list(LAYERS))
def test_output_and_gradients_are_those_of_the_convolution(monkeypatch, name, out):
    layer, widths, _ = make(name)
    monkeypatch.setattr(matrix_convolutions, "is_faster", lambda *_: True)
    inputs = inputs_of(widths, torch.float32)
    y = layer(inputs, out)
    dim = 1 if isinstance(layer, ElasticConvTranspose2d) else 0
    weight = layer.weight.detach().double().requires_grad_()
    exact = inputs_of(widths, torch.double)
    bias = None if layer.bias is None else layer.bias.detach().double()
    sliced = weight if out is None else weight.narrow(dim, 0, out)
    wanted = expected(layer, exact, sliced, bias if out is None or bias is None else bias[:out])
    torch.testing.assert_close(y.double(), wanted, rtol=1e-4, atol=1e-5)
    gradient = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    results = torch.autograd.grad(y, [*inputs, layer.weight], gradient)
    exact_results = torch.autograd.grad(wanted, [*exact, weight], gradient.double())
    for result, value in zip(results, exact_results, strict=True):
        torch.testing.assert_close(result.double(), value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(LAYERS))
def test_penalties_differentiate_gradients_again(monkeypatch, name):
    layer, widths, _ = make(name)
    layer = layer.double()
    monkeypatch.setattr(matrix_convolutions, "is_faster", lambda *_: True)
    results = []
    for compute in (layer, lambda inputs: expected(layer, inputs, layer.weight, layer.bias)):
        inputs = inputs_of(widths, torch.double)
        gradients = torch.autograd.grad(compute(inputs).square().sum(), inputs, create_graph=True)
        penalty = sum(gradient.square().sum() for gradient in gradients)
        layer.weight.grad = None
        penalty.backward(inputs=[layer.weight, *inputs])
        results.append([layer.weight.grad, *(x.grad for x in inputs)])
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("penalty", ["r1", "gradient_penalty"])
def test_penalties_of_a_discriminator_do_not_depend_on_the_layout(monkeypatch, penalty, norm):
    def run():
        value = r1_penalty(net, pairs[0], 3) if penalty == "r1" else sum(gradient_penalty(net, *pairs))
        value.backward(inputs=list(net.parameters()))

    gradients = []
    for layout, products in ((torch.contiguous_format, 0), (torch.channels_last, 1)):
        torch.manual_seed(0)
        net = build_discriminator("basic", 6, 64, norm=norm).to(memory_format=layout)
        pairs = [x.to(memory_format=layout) for x in torch.rand(2, 4, 6, 64, 64)]
        assert called(monkeypatch, run) == products
        gradients.append([layer.weight.grad for layer in net.modules() if isinstance(layer, ElasticConv2d)])
    for contiguous, channels_last in zip(*gradients, strict=True):
        assert (channels_last - contiguous).norm() < 0.01 * contiguous.norm()


@pytest.mark.parametrize("name", list(LAYERS))
def test_the_gradient_of_a_weight_has_its_layout(monkeypatch, name):
    layer, widths, _ = make(name)
    monkeypatch.setattr(matrix_convolutions, "is_faster", lambda *_: True)
    layer(inputs_of(widths, torch.float32)).sum().backward()
    assert layer.weight.grad.stride() == layer.weight.stride()


def called(monkeypatch, work):
    """Count the layers that `work` computes as products of matrices."""
    calls = []
    for name in ("conv2d", "conv_transpose2d"):
        function = getattr(matrix_convolutions, name)
        monkeypatch.setattr(matrix_convolutions, name,
                            lambda *args, function=function: calls.append(1) or function(*args))
    work()
    monkeypatch.undo()
    return len(calls)


def test_only_the_inner_layers_of_a_unet_and_only_in_training(monkeypatch):
    net = build_generator("unet_128", ngf=32, norm="batch").to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    # 256 -> 256 channels (2^20 weights) at 4x4, 2x2, and 1x1 positions of two images, and back to 8x8; the
    # transposed layers with 2 * 256 channels have 2^21 weights; 256 * 2 -> 128 at 8x8 has 2^20
    count = 3 + 4
    assert called(monkeypatch, lambda: net(x)) == count
    assert called(monkeypatch, lambda: net.eval()(x)) == 0
    net.train()
    with torch.no_grad():
        assert called(monkeypatch, lambda: net(x)) == 0
    with torch.autocast("cpu", torch.bfloat16):
        assert called(monkeypatch, lambda: net(x)) == 0
    large = torch.randn(2, 3, 512, 512).contiguous(memory_format=torch.channels_last)
    assert 0 < called(monkeypatch, lambda: net(large)) < count
    assert called(monkeypatch, lambda: net.to(memory_format=torch.contiguous_format)(x)) == 0

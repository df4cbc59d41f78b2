"""Functions with closed-form gradients, next to autograd on their formulas in double precision."""
import math

import pytest
import torch
from torch.nn import functional as F

from compression.distill.functions import Gram, MeanDistance, RMSNormalize
from compression.distill.ssim import ssim_map

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def random(shape, layout, seed=0, dtype=torch.float32):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.to(dtype).to(memory_format=LAYOUTS[layout])


def normalized(a):
    return 0.5 * a / (a.square().mean(1, keepdim=True) + 1e-10).sqrt()


def gram(f):
    return torch.einsum("nihw,njhw->nij", f, f) / f[0].numel()


def ssim(x, y):
    line = torch.exp(-(torch.arange(11.0, dtype=torch.float64) - 5) ** 2 / (2 * 1.5 ** 2))
    window = torch.outer(line, line) / line.sum() ** 2

    def blur(images):
        return F.conv2d(images, window.expand(images.shape[1], 1, 11, 11), groups=images.shape[1])

    x, y = x + 1, y + 1
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x ** 2, blur(y * y) - mean_y ** 2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.02 ** 2, 0.06 ** 2
    return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)
            / ((mean_x ** 2 + mean_y ** 2 + c1) * (var_x + var_y + c2)))


FUNCTIONS = {"normalize": (lambda a: RMSNormalize.apply(a, 0.5), normalized, 1),
             "gram": (Gram.apply, gram, 1),
             "distance": (lambda a, b: MeanDistance.apply(a, b.detach(), None),
                          lambda a, b: (a - b.detach()).abs().mean((1, 2, 3)), 2),
             "ssim": (lambda a, b: ssim_map(a.tanh(), b.tanh()), lambda a, b: ssim(a.tanh(), b.tanh()), 2)}


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_value_and_gradient_are_those_of_the_formula(name, layout):
    function, formula, count = FUNCTIONS[name]
    inputs = [random((3, 6, 13, 17), layout, seed).requires_grad_() for seed in range(count)]
    exact = [value.detach().double().requires_grad_() for value in inputs]
    result, expected = function(*inputs), formula(*exact)
    torch.testing.assert_close(result.double(), expected, rtol=1e-4, atol=1e-6)
    weights = random(result.shape, "contiguous", 9) if result.dim() == 4 else torch.randn(result.shape)
    gradients = torch.autograd.grad((result * weights).sum(), inputs, allow_unused=True)
    wanted = torch.autograd.grad((expected * weights.double()).sum(), exact, allow_unused=True)
    for gradient, value in zip(gradients, wanted, strict=True):
        assert (gradient is None) == (value is None)
        if gradient is not None:
            torch.testing.assert_close(gradient.double(), value, rtol=1e-3, atol=1e-5)


def test_the_gradient_of_one_image_is_that_of_both():
    x, y = (random((2, 3, 20, 24), "channels_last", seed).tanh() for seed in (0, 1))
    both = [image.clone().requires_grad_() for image in (x, y)]
    expected = torch.autograd.grad(ssim_map(*both).square().sum(), both)
    for k in (0, 1):
        images = [x.clone(), y.clone()]
        images[k].requires_grad_()
        gradient, = torch.autograd.grad(ssim_map(*images).square().sum(), images[k])
        torch.testing.assert_close(gradient, expected[k])


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("name", ["normalize", "gram", "distance"])
def test_results_are_in_float32_and_gradients_in_the_precision_and_layout_of_the_features(name, layout):
    function, _, count = FUNCTIONS[name]
    inputs = [random((2, 4, 6, 5), layout, seed, torch.bfloat16).requires_grad_() for seed in range(count)]
    with torch.autocast("cpu", torch.bfloat16):
        result = function(*inputs)
    exact = function(*(value.detach().float() for value in inputs))
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, exact)
    gradient, = torch.autograd.grad(result.sum(), inputs[:1])
    assert gradient.dtype == torch.bfloat16
    assert gradient.is_contiguous(memory_format=LAYOUTS[layout])


def test_samples_that_do_not_count_have_no_distance_and_no_gradient():
    a = random((3, 2, 4, 4), "channels_last").requires_grad_()
    b = random((3, 2, 4, 4), "channels_last", 1)
    b[1, 0, 0, 0], b[2] = math.nan, math.inf
    counts = torch.tensor([True, False, False])
    distance = MeanDistance.apply(a, b, counts)
    assert distance[1:].tolist() == [0, 0]
    assert distance[0].item() == pytest.approx((a[0] - b[0]).abs().mean().item(), rel=1e-6)
    gradient, = torch.autograd.grad(distance.sum(), a)
    torch.testing.assert_close(gradient[0], (a[0] - b[0]).sgn() / 32)
    assert not gradient[1:].any()

"""Structural similarity (Wang et al., IEEE TIP 2004), differentiable, one value for each image."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def ssim(x: Tensor, y: Tensor, window: int = 11, sigma: float = 1.5, data_range: float = 2.0,
         low: float = -1.0) -> Tensor:
    """Compute the mean over positions and channels of :func:`ssim_map`, which explains the arguments.

    Returns:
        (N,) values in [-1, 1], 1 for equal images.
    """
    return ssim_map(x, y, window, sigma, data_range, low).mean((1, 2, 3))


def ssim_map(x: Tensor, y: Tensor, window: int = 11, sigma: float = 1.5, data_range: float = 2.0,
             low: float = -1.0) -> Tensor:
    """Compute the SSIM of each pair of images at every position.

    At every position, with the means mu, variances s^2 and covariance s_xy under a Gaussian window,

        SSIM(x, y) = (2 mu_x mu_y + c_1) (2 s_xy + c_2) / ((mu_x^2 + mu_y^2 + c_1) (s_x^2 + s_y^2 + c_2)),
        c_1 = (0.01 L)^2,  c_2 = (0.03 L)^2,

    where L is `data_range`. Positions where the window exceeds the image are excluded. The computation is in
    float32, also under autocast and on GPUs.

    Args:
        x: images (N, C, H, W); H and W are at least `window`.
        y: images of the same shape.
        window: side of the Gaussian window in pixels (odd).
        sigma: standard deviation of the window in pixels.
        data_range: difference between the largest and the smallest possible value; 2 for images in [-1, 1].
        low: the smallest possible value. It is subtracted, because the luminance term is defined for
            values >= 0: around a value of 0 it would rate nearly equal pixels as dissimilar.

    Returns:
        (N, C, H - window + 1, W - window + 1) values in [-1, 1], 1 for equal images.

    Raises:
        ValueError: the shapes differ, or the images are smaller than the window.
    """
    if x.shape != y.shape or x.dim() != 4:
        raise ValueError("SSIM compares (N, C, H, W) tensors of one shape, got "
                         f"{tuple(x.shape)} and {tuple(y.shape)}")
    if min(x.shape[-2:]) < window:
        raise ValueError(f"SSIM needs sides of at least {window} pixels, got {x.shape[-2]}x{x.shape[-1]}")
    with torch.autocast(x.device.type, enabled=False):
        # on a CPU, convolutions of single channels are five times as fast in this layout
        layout = torch.channels_last if x.device.type == "cpu" else torch.preserve_format
        x, y = (image.float().to(memory_format=layout) - low for image in (x, y))
        return _SSIMMap.apply(x, y, _gaussian(window, sigma, x), (0.01 * data_range) ** 2,
                              (0.03 * data_range) ** 2)


class _SSIMMap(Function):
    """The map of :func:`ssim_map`, with gradients in closed form, which take half the time.

    SSIM = A_1 A_2 / (B_1 B_2) is a function of the blurred x, x^2, and x y, here b(x), b(x^2), and b(x y):

        A_1 = 2 mu_x mu_y + c_1,          A_2 = 2 s_xy + c_2,
        B_1 = mu_x^2 + mu_y^2 + c_1,      B_2 = s_x^2 + s_y^2 + c_2

    Its derivatives are

        d/db(x)    = 2 mu_y (A_2 - A_1) / (B_1 B_2) + 2 mu_x SSIM (1 / B_2 - 1 / B_1)
        d/db(x^2)  = -SSIM / B_2
        d/db(x y)  = 2 A_1 / (B_1 B_2)
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, kernel: Tensor, c1: float, c2: float) -> Tensor:
        moments = _blur(torch.cat((x, y, x * x + y * y, x * y), 1), kernel)
        a1, a2, b1, b2 = _terms(moments, c1, c2)
        similarity = a1 * a2 / (b1 * b2)
        ctx.save_for_backward(x, y, kernel, moments, similarity)
        ctx.constants = c1, c2
        return similarity

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        x, y, kernel, moments, similarity = ctx.saved_tensors
        a1, a2, b1, b2 = _terms(moments, *ctx.constants)
        mean_x, mean_y, _, _ = moments.chunk(4, 1)
        inverse = (b1 * b2).reciprocal() * gradient
        of_product = 2 * a1 * inverse
        of_square = similarity / b2 * -gradient
        cross = 2 * (a2 - a1) * inverse
        own = 2 * similarity * (b1 - b2) * inverse  # 1 / b2 - 1 / b1
        del a1, a2, b1, b2, inverse

        def gradient_of(image: Tensor, other: Tensor, mean: Tensor, other_mean: Tensor) -> Tensor:
            of_mean = cross * other_mean + own * mean
            blurred = _blur(torch.cat((of_mean, of_square, of_product), 1), kernel, len(kernel) - 1)
            plain, square, product = blurred.chunk(3, 1)
            return plain + 2 * image * square + other * product

        return (gradient_of(x, y, mean_x, mean_y) if ctx.needs_input_grad[0] else None,
                gradient_of(y, x, mean_y, mean_x) if ctx.needs_input_grad[1] else None, None, None, None)


def _terms(moments: Tensor, c1: float, c2: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute A_1, A_2, B_1, and B_2 from the blurred x, y, x^2 + y^2, and x y, concatenated."""
    mean_x, mean_y, mean_squares, mean_xy = moments.chunk(4, 1)
    product = mean_x * mean_y
    squares = mean_x ** 2 + mean_y ** 2
    return 2 * product + c1, 2 * (mean_xy - product) + c2, squares + c1, mean_squares - squares + c2


def _gaussian(window: int, sigma: float, like: Tensor) -> Tensor:
    """Build a normalized Gaussian (window,) on the device and in the dtype of `like`."""
    offsets = torch.arange(window, device=like.device, dtype=like.dtype) - (window - 1) / 2
    kernel = torch.exp(-offsets ** 2 / (2 * sigma ** 2))
    return kernel / kernel.sum()


def _blur(images: Tensor, kernel: Tensor, padding: int = 0) -> Tensor:
    """Convolve the rows and columns of every channel with `kernel` (window,), which is symmetric.

    With a `padding` of window - 1, this is the gradient of the convolution without padding.
    """
    channels = images.shape[1]
    with torch.backends.cudnn.flags(enabled=False):  # TF32 loses the small differences of large squares
        images = F.conv2d(images, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1),
                          padding=(padding, 0), groups=channels)
        return F.conv2d(images, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1),
                        padding=(0, padding), groups=channels)

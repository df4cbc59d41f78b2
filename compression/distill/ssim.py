"""Structural similarity (Wang et al., IEEE TIP 2004), differentiable, one value for each image."""
from __future__ import annotations

import torch
from torch import Tensor
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
        x = x.float() - low
        y = y.float() - low
        kernel = _gaussian(window, sigma, x)
        with torch.backends.cudnn.flags(enabled=False):  # TF32 loses the small differences of large squares
            moments = _blur(torch.cat((x, y, x * x, y * y, x * y), 1), kernel)
        mean_x, mean_y, mean_xx, mean_yy, mean_xy = moments.chunk(5, 1)
        var_x = mean_xx - mean_x ** 2
        var_y = mean_yy - mean_y ** 2
        covariance = mean_xy - mean_x * mean_y
        c1 = (0.01 * data_range) ** 2
        c2 = (0.03 * data_range) ** 2
        return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)
                / ((mean_x ** 2 + mean_y ** 2 + c1) * (var_x + var_y + c2)))


def _gaussian(window: int, sigma: float, like: Tensor) -> Tensor:
    """Build a normalized Gaussian (window,) on the device and in the dtype of `like`."""
    offsets = torch.arange(window, device=like.device, dtype=like.dtype) - (window - 1) / 2
    kernel = torch.exp(-offsets ** 2 / (2 * sigma ** 2))
    return kernel / kernel.sum()


def _blur(images: Tensor, kernel: Tensor) -> Tensor:
    """Convolve the rows and columns of every channel with `kernel` (window,), without padding."""
    channels = images.shape[1]
    images = F.conv2d(images, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(images, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)

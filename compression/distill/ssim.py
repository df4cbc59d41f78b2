"""Structural similarity (Wang et al., IEEE TIP 2004), differentiable, one value for each image."""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def ssim(x: Tensor, y: Tensor, window: int = 11, sigma: float = 1.5, data_range: float = 2.0,
         low: float = -1.0) -> Tensor:
    """Mean SSIM of each pair of images under a Gaussian window, computed in float32 (also under autocast and on GPUs).

    Args:
        x, y: (N, C, H, W) images; sides of at least `window` pixels.
        window: side of the Gaussian window in pixels (odd).
        sigma: its standard deviation in pixels.
        data_range: greatest minus least possible value; 2 for images in [-1, 1].
        low: the least possible value. Intensities are measured from it, as the luminance term is defined for values
            >= 0 only: around a gray of 0 it would call near-equal pixels dissimilar.

    Returns:
        (N,) values in [-1, 1], 1 for equal images. Borders where the window does not fit are left out.

    Raises:
        ValueError: for different shapes or images smaller than the window.
    """
    if x.shape != y.shape or x.dim() != 4:
        raise ValueError(f"SSIM compares (N, C, H, W) tensors of one shape, got {tuple(x.shape)} and {tuple(y.shape)}")
    if min(x.shape[-2:]) < window:
        raise ValueError(f"SSIM needs sides of at least {window} pixels, got {x.shape[-2]}x{x.shape[-1]}")
    with torch.autocast(x.device.type, enabled=False):
        x, y = x.float() - low, y.float() - low
        offsets = torch.arange(window, device=x.device, dtype=x.dtype) - (window - 1) / 2
        kernel = torch.exp(-offsets ** 2 / (2 * sigma ** 2))
        kernel = kernel / kernel.sum()

        def blur(z: Tensor) -> Tensor:
            c = z.shape[1]
            z = F.conv2d(z, kernel.view(1, 1, -1, 1).expand(c, 1, -1, 1), groups=c)
            return F.conv2d(z, kernel.view(1, 1, 1, -1).expand(c, 1, 1, -1), groups=c)

        with torch.backends.cudnn.flags(enabled=False):  # its TF32 loses the small differences of large squares
            moments = blur(torch.cat((x, y, x * x, y * y, x * y), 1))
        mean_x, mean_y, xx, yy, xy = moments.chunk(5, 1)
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        var_x, var_y, covariance = xx - mean_x ** 2, yy - mean_y ** 2, xy - mean_x * mean_y
        similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)
                      / ((mean_x ** 2 + mean_y ** 2 + c1) * (var_x + var_y + c2)))
        return similarity.mean((1, 2, 3))

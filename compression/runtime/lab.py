"""Colors in CIE Lab, for colorization: the generator maps the lightness L to the colors a and b.

The formulas are those of CIE 15:2004 and IEC 61966-2-1 (sRGB), with the white point D65.
"""
from __future__ import annotations

import torch
from torch import Tensor

_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)  # XYZ of D65
_EPSILON, _KAPPA = 0.008856, 7.787
_L_SCALE, _AB_SCALE = 50.0, 110.0  # L / 50 - 1 and ab / 110, as in upstream


def colorizes(input_nc: int, output_nc: int) -> bool:
    """Return whether a generator maps lightness to colors: one channel in, two channels out."""
    return (input_nc, output_nc) == (1, 2)


def split_lab(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Convert RGB images to the input and the target of colorization.

    Args:
        rgb: (N, 3, H, W) in [-1, 1].

    Returns:
        L / 50 - 1, (N, 1, H, W) in [-1, 1], and (a, b) / 110, (N, 2, H, W).
    """
    srgb = (rgb + 1) / 2
    linear = torch.where(srgb > 0.04045, ((srgb + 0.055) / 1.055).clamp_min(0) ** 2.4, srgb / 12.92)
    xyz = torch.einsum("ij,njhw->nihw", rgb.new_tensor(_TO_XYZ), linear)
    t = xyz / rgb.new_tensor(_WHITE).view(1, 3, 1, 1)
    f = torch.where(t > _EPSILON, t.clamp_min(0) ** (1 / 3), _KAPPA * t + 16 / 116)
    lightness = 116 * f[:, 1:2] - 16
    ab = torch.cat((500 * (f[:, :1] - f[:, 1:2]), 200 * (f[:, 1:2] - f[:, 2:])), 1)
    return lightness / _L_SCALE - 1, ab / _AB_SCALE


def colorize(lightness: Tensor, ab: Tensor) -> Tensor:
    """Convert the input and the output of colorization to RGB images, the inverse of :func:`split_lab`.

    Args:
        lightness: L / 50 - 1, (N, 1, H, W).
        ab: (a, b) / 110, (N, 2, H, W).

    Returns:
        RGB, (N, 3, H, W) in [-1, 1]; colors outside sRGB are clipped.
    """
    fy = ((lightness + 1) * _L_SCALE + 16) / 116
    a, b = (ab * _AB_SCALE).split(1, 1)
    f = torch.cat((fy + a / 500, fy, fy - b / 200), 1)
    t = torch.where(f > _EPSILON ** (1 / 3), f ** 3, (f - 16 / 116) / _KAPPA)
    xyz = t * ab.new_tensor(_WHITE).view(1, 3, 1, 1)
    linear = torch.einsum("ij,njhw->nihw", torch.linalg.inv(ab.new_tensor(_TO_XYZ)), xyz)
    srgb = torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(0) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return srgb.clamp(0, 1) * 2 - 1


def displayed(condition: Tensor | None, image: Tensor) -> Tensor:
    """Return a generator's images for display and metrics: colors of colorization become RGB.

    Args:
        condition: the generator's inputs; None for a model without them.
        image: its outputs or their ground truths.
    """
    if condition is None or image.shape[1] != 2:
        return image
    return colorize(condition.float(), image.float())

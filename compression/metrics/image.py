"""Metrics between an image and its ground truth: L1, PSNR, and SSIM."""
from __future__ import annotations

import torch
from torch import Tensor

from ..distill.ssim import ssim

NAMES = ("L1", "PSNR", "SSIM")
SSIM_SIDE = 11  # of the window of SSIM, in pixels


def eight_bits(image: Tensor) -> Tensor:
    """Convert images in [-1, 1] to [0, 1], rounded to the values of an 8-bit file."""
    return ((image.float().clamp(-1, 1) + 1) * 127.5).round() / 255


def as_saved(image: Tensor) -> Tensor:
    """Round images in [-1, 1] to the values of an 8-bit file, in [-1, 1]."""
    return eight_bits(image) * 2 - 1


class ImageMetrics:
    """Means over images of L1, PSNR, and SSIM, on images as they are saved: in [0, 1], rounded to 8 bits.

    For an image x and its ground truth y:

        L1 = mean |x - y|
        PSNR = -10 log10 mean (x - y)^2    (in dB, 100 dB for equal images)
        SSIM: Wang et al. (IEEE TIP 2004), 11 x 11 Gaussian window with sigma 1.5, mean over color channels
    """

    def __init__(self) -> None:
        self.rows: list[Tensor] = []

    @torch.no_grad()
    def update(self, image: Tensor, target: Tensor) -> None:
        """Add images and their ground truths, (N, C, H, W) in [-1, 1]."""
        if image.shape != target.shape:
            raise ValueError("image and ground truth differ in shape: "
                             f"{tuple(image.shape)} and {tuple(target.shape)}")
        image = eight_bits(image)
        target = eight_bits(target)
        error = (image - target).flatten(1)
        l1 = error.abs().mean(1)
        psnr = -10 * torch.log10(error.square().mean(1).clamp_min(1e-10))
        if min(image.shape[-2:]) < SSIM_SIDE:
            similarity = torch.full_like(l1, torch.nan)
        else:
            similarity = ssim(image, target, data_range=1.0, low=0.0)
        self.rows.append(torch.stack((l1, psnr, similarity), 1).double().cpu())

    def compute(self) -> dict[str, float]:
        """Compute ``{"L1", "PSNR", "SSIM"}``, without SSIM if an image is smaller than its window.

        Raises:
            ValueError: if no image was added.
        """
        if not self.rows:
            raise ValueError("no image to score")
        means = dict(zip(NAMES, torch.cat(self.rows).mean(0).tolist(), strict=True))
        return {name: value for name, value in means.items() if value == value}

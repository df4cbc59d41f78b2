"""Distances between an image and its ground truth: L1, PSNR and SSIM."""
from __future__ import annotations

import torch
from torch import Tensor

from ..distill.ssim import ssim


def eight_bits(image: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1], rounded to what an 8-bit file holds."""
    return ((image.float().clamp(-1, 1) + 1) * 127.5).round() / 255


class ImageMetrics:
    """Means over images, of images as they are saved: rounded to 8 bits, values in [0, 1].

    L1 is the mean absolute difference; PSNR, in dB, has a peak of 1 and is averaged over images (100 dB for equal
    images); SSIM is Wang's with an 11 x 11 Gaussian window of sigma 1.5 over the color channels.
    """

    def __init__(self):
        self.rows: list[Tensor] = []

    @torch.no_grad()
    def update(self, image: Tensor, target: Tensor) -> None:
        """Add images and their ground truths, (N, C, H, W) each, in [-1, 1]."""
        if image.shape != target.shape:
            raise ValueError(f"image and ground truth differ in shape: {tuple(image.shape)} and {tuple(target.shape)}")
        image, target = eight_bits(image), eight_bits(target)
        error = (image - target).flatten(1)
        psnr = (-10 * torch.log10(error.square().mean(1).clamp_min(1e-10)))
        self.rows.append(torch.stack((error.abs().mean(1), psnr, ssim(image, target, data_range=1.0, low=0.0)),
                                     1).double().cpu())

    def compute(self) -> dict[str, float]:
        """``{"L1", "PSNR", "SSIM"}``; ValueError if nothing was added."""
        if not self.rows:
            raise ValueError("no image to score")
        return dict(zip(("L1", "PSNR", "SSIM"), torch.cat(self.rows).mean(0).tolist()))

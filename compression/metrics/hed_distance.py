"""The perceptual distance in the VGG-16 of HED, if its weights are on disk."""
from __future__ import annotations

import torch
from torch import Tensor

from ..distill.hed import HED_NAME, load_hed

_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")


class HEDDistance:
    """The distance between activations of unit length, as in LPIPS (Zhang et al., CVPR 2018) without weights:

        d(x, y) = 1/5 sum_l mean_hw |v_l(x) - v_l(y)|_2^2,    v_l = V_l / |V_l|_2,

    where V_l is relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3 of HED and the length is that over the
    channels of a position. It is in [0, 2], because activations are not negative.

    Raises:
        ValueError: if the weights of HED are missing or those of another network.
    """

    def __init__(self, device: torch.device):
        self.network = load_hed(f"the metric {HED_NAME}").to(device)

    @torch.no_grad()
    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """Compute the distances (N,) between images and ground truths (N, 3, H, W) in [-1, 1]."""
        distances = []
        for a, b in zip(self.network(image, _TAPS), self.network(target, _TAPS), strict=True):
            distances.append((unit_length(a) - unit_length(b)).square().sum(1).mean((1, 2)))
        return torch.stack(distances).mean(0).cpu()


def unit_length(activations: Tensor) -> Tensor:
    """Divide activations (N, C, H, W) by their length over the channels."""
    return activations / activations.square().sum(1, keepdim=True).add(1e-10).sqrt()

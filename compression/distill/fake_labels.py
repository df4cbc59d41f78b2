"""The fake labels of a teacher: its images for a batch of inputs, and what its discriminator head outputs."""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..originals.objectives import DiscriminatorOutput


@dataclass(frozen=True)
class FakeLabels:
    """Images of one teacher, which replace ground truth, with the output of its discriminator head.

    Attributes:
        images: T_k(z), (N, C, H, W) in [-1, 1], without gradients.
        prediction: D_k(z, T_k(z)): for each scale the activations of all layers, (N, C_l, H_l, W_l), and
            last the map of logits, (N, 1, h, w); without gradients; empty if nothing uses it.
        flipped: flip(G_k(flip(u))) for the unlabeled inputs u, which are the last ones of the batch,
            (N_u, C, H, W) in [-1, 1]; None or empty if the filter does not use it.
    """

    images: Tensor
    prediction: DiscriminatorOutput
    flipped: Tensor | None = None

    def unlabeled(self, labeled: int) -> FakeLabels:
        """Select the fake labels of the unlabeled inputs: all but the first `labeled` ones."""
        prediction = [[layer[labeled:] for layer in layers] for layers in self.prediction]
        return replace(self, images=self.images[labeled:], prediction=prediction)


def images_of_flipped(net: nn.Module, labeled: Tensor, unlabeled: Tensor) -> Tensor:
    """Compute flip(G(flip(u))): translate mirrored inputs and mirror the images back.

    A batch norm normalizes by the statistics of its batch. Such a network also gets the labeled inputs, so
    that the composition of the batch is that of the pass which computes G(u).

    Args:
        net: G.
        labeled: x, (N, C, H, W).
        unlabeled: u, (N_u, C, H, W).

    Returns:
        (N_u, C, H, W).
    """
    if not any(isinstance(module, _BatchNorm) for module in net.modules()):
        labeled = labeled[:0]
    return net(torch.cat((labeled, unlabeled.flip(-1))))[len(labeled):].flip(-1)

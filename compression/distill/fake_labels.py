"""The fake labels of a teacher: its images for a batch of inputs, and what its discriminator head outputs."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..originals.objectives import DiscriminatorOutput


@dataclass(frozen=True)
class FakeLabels:
    """Images of one teacher, which replace ground truth, with the output of its discriminator head.

    Attributes:
        images: T_k(z), (N, C, H, W) in [-1, 1], without gradients.
        prediction: D_k(z, T_k(z)): for each scale the activations of all layers, (N, C_l, H_l, W_l), and
            last the map of logits, (N, 1, h, w); without gradients.
    """

    images: Tensor
    prediction: DiscriminatorOutput

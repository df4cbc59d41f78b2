"""Comparison of intermediate activations through the teachers' discriminator (DCD, CVPR 2023)."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from .losses import masked_mean


class DiscriminatorAdapters(nn.Module):
    """Compares activations of student and teacher, converted to pairs, in the features of a discriminator.

    With the activations a_l of the student, b_l of the teacher, and learned layers A_l and B_l (a 1x1
    convolution to the channels of a pair, batch norm, and ReLU) for each of L layers,

        L_dcd = 1/L sum_l sum_j |phi_j(A_l a_l) - phi_j(B_l sg b_l)|_1,

    averaged over the accepted samples. **Ours:** A_l starts with the weights of B_l for the channels of the
    student, which are the first ones of the teacher in a supernet.

    Args:
        student_widths: channels of a_l for each layer.
        teacher_widths: channels of b_l, at least as many.
        channels: channels of a pair of input and image.
    """

    def __init__(self, student_widths: Sequence[int], teacher_widths: Sequence[int], channels: int):
        super().__init__()
        self.student = nn.ModuleList()
        self.teacher = nn.ModuleList()
        for own, other in zip(student_widths, teacher_widths, strict=True):
            weight = torch.empty(channels, other, 1, 1)
            nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
            self.student.append(_build_adapter(weight[:, :own]))
            self.teacher.append(_build_adapter(weight))

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor],
                features: Callable[[Tensor], list[Tensor]], mask: Tensor | None = None) -> Tensor:
        """Compute L_dcd.

        Args:
            student: a_l, (N, *, h_l, w_l) for each layer.
            teacher: b_l, (N, *, h_l, w_l); they receive no gradients.
            features: maps (N, channels, h, w) to phi_j, (N, C_j, h_j, w_j) for each layer j.
            mask: as in :func:`compression.distill.losses.masked_mean`.

        Returns:
            A scalar.
        """
        losses = []
        for own, other, a, b in zip(self.student, self.teacher, student, teacher, strict=True):
            pairs = zip(features(own(a)), features(other(b.detach())), strict=True)
            distances = ((s.float() - t.float()).abs().flatten(1).mean(1) for s, t in pairs)
            losses.append(reduce(torch.add, distances))
        return masked_mean(torch.stack(losses).mean(0), mask)


def _build_adapter(weight: Tensor) -> nn.Sequential:
    """Build the layers that convert activations to pairs, from a weight (pair channels, width, 1, 1)."""
    channels, width = weight.shape[:2]
    conv = nn.Conv2d(width, channels, 1, bias=False)
    conv.weight.data.copy_(weight)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())

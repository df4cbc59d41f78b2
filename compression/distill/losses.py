"""What the student learns by: image, feature, style and channel distillation (OMGD, ICCV 2021; UGC, section 3.2).

Every term is a mean over the accepted samples, so that rejecting fake labels changes their number, not the scale.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from ..runtime import distributed
from .ssim import ssim


@dataclass(frozen=True)
class DistillWeights:
    """Weights of the terms, each at least 0; the defaults are OMGD's, which has no `pixel` term."""

    ssim: float = 10.0
    feature: float = 10.0
    style: float = 1e4
    tv: float = 1e-5
    cd: float = 0.0
    pixel: float = 0.0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"--lambda_{field.name} must be a finite number of at least 0, got {value}")


def gram(features: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, C) inner products of the channels, divided by C * H * W (Gatys et al., CVPR 2016).

    In float32, also under autocast."""
    n, c, h, w = features.shape
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().reshape(n, c, h * w)
        return flat @ flat.transpose(1, 2) / (c * h * w)


def tv_loss(image: Tensor) -> Tensor:
    """Total variation of (N, C, H, W): sum of absolute differences between neighbors, mean over the samples."""
    image = image.float()
    return ((image[..., 1:, :] - image[..., :-1, :]).abs().sum()
            + (image[..., 1:] - image[..., :-1]).abs().sum()) / len(image)


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of (N,) values where `mask` (N,) is true; 0, still on the graph, where it is nowhere.

    Of several processes' values it is this one's part of the mean: the average over the processes is the mean of all."""
    if mask is None:
        return values.mean()
    accepted = distributed.all_reduce_mean(mask.sum().float()).clamp_min(1 / distributed.world_size())
    return torch.where(mask, values, 0.0).sum() / accepted


def _accepted(activations: Tensor, mask: Tensor | None) -> Tensor:
    """(N, C, H, W) of a teacher, detached, with 0 for rejected samples: a NaN there would reach the gradient of the
    student through 0 * NaN although its loss is masked."""
    activations = activations.detach()
    return activations if mask is None else torch.where(mask.view(-1, 1, 1, 1), activations, 0.0)


def _l1(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b.float()).abs().flatten(1).mean(1)


def distillation_losses(student: Tensor, teacher: Tensor, student_features: Sequence[Tensor],
                        teacher_features: Sequence[Tensor], weights: DistillWeights,
                        mask: Tensor | None = None) -> dict[str, Tensor]:
    """The student's losses towards one teacher.

    Args:
        student, teacher: images (N, C, H, W) in [-1, 1]; nothing of the teacher receives gradients.
        student_features, teacher_features: activations of both, layer by layer, (N, C_l, H_l, W_l); may be empty.
        weights: weights of the terms.
        mask: (N,) bool, which samples count; None is all.

    Returns:
        Weighted scalars: ``ssim`` = 1 - SSIM; with a weight, ``pixel`` = L1 between the images; with features,
        ``feature`` = L1 between them and ``style`` = L1 between their Gram matrices, each summed over the layers.
    """
    teacher, teacher_features = _accepted(teacher, mask), [_accepted(t, mask) for t in teacher_features]
    losses = {"ssim": weights.ssim * masked_mean(1 - ssim(student, teacher), mask)}
    if weights.pixel:
        losses["pixel"] = weights.pixel * masked_mean(_l1(student, teacher), mask)
    if student_features:
        losses["feature"] = weights.feature * masked_mean(
            sum(_l1(s, t) for s, t in zip(student_features, teacher_features, strict=True)), mask)
        losses["style"] = weights.style * masked_mean(
            sum(_l1(gram(s), gram(t)) for s, t in zip(student_features, teacher_features, strict=True)), mask)
    return losses


class ChannelAdapters(nn.Module):
    """Channel distillation (Zhou et al., 2020) from activations of other widths, through learned 1x1 convolutions.

    A channel's attention is its spatial mean; the student's, mapped to the teacher's width, follows the teacher's.
    """

    def __init__(self, student_widths: Sequence[int], teacher_widths: Sequence[int]):
        super().__init__()
        self.adapters = nn.ModuleList(nn.Conv2d(s, t, 1, bias=False) for s, t in zip(student_widths, teacher_widths,
                                                                                   strict=True))

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
        """Activations of both, (N, C_l, H_l, W_l) -> the mean squared distance of their attentions, averaged over
        layers."""
        losses = [(adapter(s.float().mean((2, 3), keepdim=True))
                   - _accepted(t, mask).float().mean((2, 3), keepdim=True)).square().flatten(1).mean(1)
                  for adapter, s, t in zip(self.adapters, student, teacher, strict=True)]
        return masked_mean(torch.stack(losses).mean(0), mask)

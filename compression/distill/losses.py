"""The distillation losses of the student: image, feature, style and channel distillation (UGC, section 3.2).

The terms and their weights are those of OMGD (ICCV 2021). Notation as in docs/method.md: z is an input, S
= G*(z) the image of the student, T = sg G_k(z) that of a teacher k, phi_l the activations of layer l of a
feature extractor, and m(z) the mask of the Adaptive Data Filter.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..runtime import distributed
from .functions import Gram, MeanDistance
from .ssim import ssim_map


@dataclass(frozen=True)
class DistillWeights:
    """Weights lambda of the terms, each at least 0. The defaults are those of OMGD, which has no `pixel`
    term.

    Raises:
        ValueError: a weight is negative or not finite.
    """

    ssim: float = 10.0
    feature: float = 10.0
    style: float = 1e4
    tv: float = 1e-5
    cd: float = 0.0
    pixel: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"--lambda_{field.name} must be a finite number of at least 0, got {value}")


def gram(features: Tensor) -> Tensor:
    """Compute Gram matrices (Gatys et al., CVPR 2016) in float32, also under autocast.

        Gamma(f)_ij = sum_{h,w} f_ihw f_jhw / (C H W)

    Args:
        features: f, (N, C, H, W).

    Returns:
        (N, C, C).
    """
    return Gram.apply(features)


def tv_loss(image: Tensor) -> Tensor:
    """Compute the total variation of images, averaged over the samples.

        TV(S) = 1/N sum_{n,c,h,w} (|S_{h+1,w} - S_{h,w}| + |S_{h,w+1} - S_{h,w}|)

    Args:
        image: S, (N, C, H, W).

    Returns:
        A scalar.
    """
    image = image.float()
    vertical = (image[..., 1:, :] - image[..., :-1, :]).abs().sum()
    horizontal = (image[..., 1:] - image[..., :-1]).abs().sum()
    return (vertical + horizontal) / len(image)


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Compute the mean of a loss over the accepted samples, or its mean with the weights of the samples.

        sum_z m(z) l(z) / sum_z m(z)

    With several processes, the sum in the numerator is over the samples of this process and the one in the
    denominator is a mean over the processes, so that the average of the results over the processes is the
    mean over all samples.

    Args:
        values: l(z), (N,).
        mask: m(z), (N,) bool, or weights of patches, (N, 1, h, w), of which m(z) is the mean; None accepts
            all samples.

    Returns:
        A scalar; 0 (with gradients of 0) if no sample is accepted.
    """
    if mask is None:
        return values.mean()
    weights = mask.float().reshape(len(mask), -1).mean(1)
    accepted = distributed.all_reduce_mean(weights.sum()).clamp_min(1 / distributed.world_size())
    return torch.where(weights > 0, weights * values, 0.0).sum() / accepted


def spatial_mean(loss: Tensor, mask: Tensor | None) -> Tensor:
    """Compute the mean of a loss over the positions of each sample, weighted by its patches if they are.

        l(z) = sum_p m(z, p) l(z, p) / sum_p m(z, p)

    Args:
        loss: l(z, p), (N, C, H, W).
        mask: as in :func:`masked_mean`; patches cover the positions evenly.

    Returns:
        l(z), (N,).
    """
    if mask is None or mask.dim() == 1:
        return loss.mean((1, 2, 3))
    height, width = loss.shape[-2:]
    weights = F.adaptive_avg_pool2d(mask.float(), (height, width))
    total = (weights * loss.mean(1, keepdim=True)).flatten(1).sum(1)
    return total / weights.flatten(1).sum(1).clamp_min(torch.finfo(weights.dtype).tiny)


def distillation_losses(student: Tensor, teacher: Tensor, student_features: Sequence[Tensor],
                        teacher_features: Sequence[Tensor], weights: DistillWeights,
                        mask: Tensor | None = None,
                        student_grams: Sequence[Tensor] | None = None) -> dict[str, Tensor]:
    """Compute the distillation losses of the student for one teacher.

    Each term is the mean over the accepted samples (:func:`masked_mean`) of

        ssim     lambda_ssim (1 - SSIM(S, T))
        pixel    lambda_pixel |S - T|_1
        feature  lambda_feature sum_l |phi_l(S) - phi_l(T)|_1
        style    lambda_style sum_l |Gamma(phi_l(S)) - Gamma(phi_l(T))|_1

    where |.|_1 is the mean absolute value and Gamma is :func:`gram`. Weights of patches weigh the positions
    of ssim, pixel and feature (:func:`spatial_mean`); style has no positions.

    Args:
        student: S, (N, C, H, W) in [-1, 1].
        teacher: T, (N, C, H, W) in [-1, 1]; it receives no gradients.
        student_features: phi_l(S) for each layer l, (N, C_l, H_l, W_l); may be empty.
        teacher_features: phi_l(T), likewise; they receive no gradients.
        weights: the weights lambda.
        mask: m(z), (N,) bool, or weights of patches, (N, 1, h, w); None accepts all samples.
        student_grams: Gamma(phi_l(S)) for each layer l, if they are computed once for several teachers.

    Returns:
        Weighted scalars by the name of the term. There is no ``pixel`` without a weight, and no
        ``feature`` and ``style`` without features.
    """
    teacher = _detach_accepted(teacher, mask)
    dissimilarity = spatial_mean(1 - ssim_map(student, teacher), mask)
    losses = {"ssim": weights.ssim * masked_mean(dissimilarity, mask)}
    if weights.pixel:
        losses["pixel"] = weights.pixel * masked_mean(_distance(student, teacher, mask), mask)
    if student_features:
        layers = list(zip(student_features, teacher_features, strict=True))
        feature = reduce(torch.add, (_distance(s, t, mask) for s, t in layers))
        losses["feature"] = weights.feature * masked_mean(feature, mask)
        targets = (_detach_accepted(gram(features.detach()), mask) for features in teacher_features)
        grams = zip(student_grams or map(gram, student_features), targets, strict=True)
        style = reduce(torch.add, ((s - t).abs().mean((1, 2)) for s, t in grams))
        losses["style"] = weights.style * masked_mean(style, mask)
    return losses


class ChannelAdapters(nn.Module):
    """Channel distillation (Zhou et al., 2020) between activations of different widths.

    The attention of a channel is its spatial mean. With the activations a_l of the student, b_l of the
    teacher, and a learned 1x1 convolution W_l for each of L layers,

        L_cd = 1/L sum_l |W_l mean_hw(a_l) - sg mean_hw(b_l)|_2^2 / C_l,

    averaged over the accepted samples.

    Args:
        student_widths: channels of a_l for each layer.
        teacher_widths: channels C_l of b_l.
    """

    def __init__(self, student_widths: Sequence[int], teacher_widths: Sequence[int]):
        super().__init__()
        widths = zip(student_widths, teacher_widths, strict=True)
        self.adapters = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in widths)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor],
                mask: Tensor | None = None) -> Tensor:
        """Compute L_cd.

        Args:
            student: a_l, (N, *, h_l, w_l) for each layer.
            teacher: b_l, (N, C_l, h'_l, w'_l); they receive no gradients.
            mask: as in :func:`masked_mean`.

        Returns:
            A scalar.
        """
        losses = []
        for adapter, a, b in zip(self.adapters, student, teacher, strict=True):
            attention = adapter(_channel_means(a))
            target = _channel_means(_detach_accepted(b, mask))
            losses.append((attention - target).square().flatten(1).mean(1))
        return masked_mean(torch.stack(losses).mean(0), mask)


def _detach_accepted(values: Tensor, mask: Tensor | None) -> Tensor:
    """Detach values (N, ...) of a teacher, and set those of rejected samples (of weight 0) to 0.

    A NaN in a rejected sample would otherwise reach the gradient of the student as 0 * NaN, although its
    loss is masked.
    """
    values = values.detach()
    if mask is None:
        return values
    return torch.where(_accepted(mask).view(-1, *[1] * (values.dim() - 1)), values, 0.0)


def _accepted(mask: Tensor) -> Tensor:
    """Return which samples have a weight above 0, (N,) bool, of a mask as in :func:`masked_mean`."""
    return mask.reshape(len(mask), -1).any(1)


def _distance(a: Tensor, b: Tensor, mask: Tensor | None) -> Tensor:
    """Compute the mean absolute difference of each sample in float32, (N,), without gradients for b.

    Patches of the mask weigh the positions (:func:`spatial_mean`).
    """
    if mask is None or mask.dim() == 1:
        return MeanDistance.apply(a, b.detach(), mask)
    return spatial_mean((a.float() - _detach_accepted(b, mask).float()).abs(), mask)


def _channel_means(activations: Tensor) -> Tensor:
    """Average activations over space, (N, C, H, W) -> (N, C, 1, 1), in float32."""
    return activations.float().mean((2, 3), keepdim=True)

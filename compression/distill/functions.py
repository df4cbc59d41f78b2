"""Functions of features with closed-form gradients, for the losses of the student.

Features are the largest tensors of a distillation step, and autograd would pass over them dozens of times.
All functions compute in float32, also under autocast, and keep the memory layout of their argument.
"""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class RMSNormalize(Function):
    """Normalize activations at every position over the channels.

        y_chw = r a_chw / sqrt(1/C sum_c a_chw^2 + 1e-10)

    The arguments are a, (N, C, H, W), and the root mean square r of the result, (N, C, H, W).
    """

    @staticmethod
    def forward(ctx: Any, activation: Tensor, rms: float) -> Tensor:
        values = activation.float()
        norm = torch.linalg.vector_norm(values, dim=1, keepdim=True)
        scale = rms * (norm.square() / values.shape[1] + 1e-10).rsqrt()
        normalized = values * scale
        ctx.save_for_backward(normalized, scale)
        ctx.rms, ctx.dtype = rms, activation.dtype
        return normalized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        normalized, scale = ctx.saved_tensors
        projection = (gradient * normalized).sum(1, keepdim=True) / (ctx.rms ** 2 * normalized.shape[1])
        result = torch.addcmul(gradient, normalized, projection, value=-1).mul_(scale)
        return result.to(ctx.dtype), None


class Gram(Function):
    """Compute Gram matrices.

        Gamma(f)_ij = sum_{h,w} f_ihw f_jhw / (C H W)

    The argument is f, (N, C, H, W), the result (N, C, C).
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        rows = _rows(features.float())
        ctx.save_for_backward(rows)
        ctx.shape, ctx.dtype = features.shape, features.dtype
        ctx.is_channels_last = _is_channels_last(features)
        with torch.autocast(features.device.type, enabled=False):
            return rows @ rows.transpose(1, 2) / features[0].numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rows, = ctx.saved_tensors
        n, c, h, w = ctx.shape
        symmetric = (gradient + gradient.transpose(1, 2)) / (c * h * w)
        with torch.autocast(gradient.device.type, enabled=False):
            if ctx.is_channels_last:
                result = (rows.transpose(1, 2) @ symmetric).view(n, h, w, c).permute(0, 3, 1, 2)
            else:
                result = (symmetric @ rows).view(n, c, h, w)
        return result.to(ctx.dtype)


class MeanDistance(Function):
    """Compute the mean absolute difference of each sample, |a - b|_1.

    The arguments are a and b, (N, C, H, W), and which samples count, (N,) bool or None for all. The others
    have a distance of 0, even if their b is NaN. The result is (N,). b receives no gradients.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, counts: Tensor | None) -> Tensor:
        difference = a.float() - b.float()
        if counts is not None:
            difference.masked_fill_(~counts.view(-1, 1, 1, 1), 0.0)
        distance = difference.abs().mean((1, 2, 3))
        ctx.save_for_backward(difference.sgn_())
        ctx.dtype = a.dtype
        return distance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        sign, = ctx.saved_tensors
        share = gradient / sign[0].numel()
        return (sign * share.view(-1, 1, 1, 1)).to(ctx.dtype), None, None


def _is_channels_last(features: Tensor) -> bool:
    return (features.is_contiguous(memory_format=torch.channels_last)
            and not features.is_contiguous())


def _rows(features: Tensor) -> Tensor:
    """View features as the rows of channels, (N, C, H, W) -> (N, C, H W)."""
    n, c, h, w = features.shape
    if _is_channels_last(features):
        return features.permute(0, 2, 3, 1).reshape(n, h * w, c).transpose(1, 2)
    return features.reshape(n, c, h * w)

"""Slices of weights, and their gradients.

Autograd pads the gradient of a slice with zeros to the size of the weight, and adds it there. Sub-networks
are small, so that this would take a quarter of a step of a U-Net's supernet.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

Bounds = tuple[int, int, int]  # dimension, start, length

_adds_in_place = False


@contextmanager
def gradients_in_place(enabled: bool = True) -> Iterator[None]:
    """Let slices that are made in the context add their gradients to those of the weights in place.

    Their backward pass then changes ``weight.grad`` of weights that have a gradient already, without hooks of
    the weights.

    Args:
        enabled: whether the context has this effect.
    """
    global _adds_in_place
    before = _adds_in_place
    _adds_in_place = enabled
    try:
        yield
    finally:
        _adds_in_place = before


def slice_of(weight: Tensor, *bounds: Bounds) -> Tensor:
    """Slice a weight, or return it if it has the lengths of the bounds."""
    bounds = tuple(bound for bound in bounds if bound[2] != weight.shape[bound[0]])
    if not bounds:
        return weight
    if _adds_in_place and weight.is_leaf and weight.requires_grad and weight.grad is not None:
        return _Slice.apply(weight, bounds)
    return _narrow(weight, bounds)


def _narrow(tensor: Tensor, bounds: tuple[Bounds, ...]) -> Tensor:
    for bound in bounds:
        tensor = tensor.narrow(*bound)
    return tensor


class _Slice(Function):
    """A slice whose gradient is added to ``weight.grad``."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bounds: tuple[Bounds, ...]) -> Tensor:
        ctx.weight, ctx.bounds = weight, bounds
        return _narrow(weight.detach(), bounds)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None]:
        with torch.no_grad():
            _narrow(ctx.weight.grad, ctx.bounds).add_(gradient)
        return None, None

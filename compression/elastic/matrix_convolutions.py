"""Convolutions with large weights at few positions, as products of matrices, for training on a CPU.

The inner layers of a U-Net have millions of weights and a few positions. In the layout channels-last,
PyTorch's convolutions (oneDNN) mostly copy these weights and their gradients to and from a layout of their
own. Products of matrices use the weights where they are: a forward and backward pass of the five inner levels
of U-Net-256 on one image takes 0.21 instead of 0.54 seconds.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

_MIN_WEIGHTS = 2 ** 18  # values of a weight, and
_MIN_WEIGHTS_PER_POSITION = 2 ** 13  # for each position of all images together, for products to be faster


def is_faster(layer: nn.Conv2d | nn.ConvTranspose2d, weight: Tensor, x: Tensor) -> bool:
    """Return whether a layer should be computed as a product of matrices: only in training.

    Args:
        layer: the layer.
        weight: its weight, possibly sliced.
        x: the input, (N, C, H, W).
    """
    if not (layer.training and torch.is_grad_enabled() and x.device.type == "cpu"):
        return False
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or x.dtype != weight.dtype:
        return False
    if isinstance(layer.padding, str):
        return False
    positions = x[:, 0].numel()
    if not isinstance(layer, nn.ConvTranspose2d):
        positions //= layer.stride[0] * layer.stride[1]
    elif any(layer.output_padding):
        return False
    least = max(_MIN_WEIGHTS, _MIN_WEIGHTS_PER_POSITION * positions)
    return weight.stride(1) == 1 and weight.numel() >= least  # channels-last and large


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d) -> Tensor:
    """Compute the convolution of `layer` with another `weight` and `bias`."""
    y = _Convolution.apply(x, weight, _window_of(layer))
    return y if bias is None else y + bias.view(1, -1, 1, 1)


def conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.ConvTranspose2d) -> Tensor:
    """Compute the transposed convolution of `layer` with another `weight` and `bias`."""
    y = _TransposedConvolution.apply(x, weight, _window_of(layer))
    return y if bias is None else y + bias.view(1, -1, 1, 1)


class _Window(NamedTuple):
    """The window of a convolution: values for the height and for the width."""

    kernel: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    stride: tuple[int, int]

    def positions(self, size: tuple[int, ...]) -> list[int]:
        """Compute the numbers of positions of the window in images of `size`."""
        return [(side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
                for side, kernel, dilation, padding, stride in zip(size, *self, strict=True)]

    def size(self, positions: tuple[int, ...]) -> list[int]:
        """Compute the size of the smallest images with these positions."""
        return [(count - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1
                for count, kernel, dilation, padding, stride in zip(positions, *self, strict=True)]


def _window_of(layer: nn.Conv2d | nn.ConvTranspose2d) -> _Window:
    return _Window(layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]


class _Convolution(Function):
    """y = columns(x) W^T: x (N, C, H, W), weight (O, C, k, k), y (N, O, H', W')."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, window: _Window) -> Tensor:
        columns = _columns(x, window)
        ctx.save_for_backward(x, weight, columns)
        ctx.window = window
        return _images(columns @ _matrix(weight).t(), (len(x), *window.positions(x.shape[2:])))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, columns = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, gradient, x, weight, transposed=False)
        rows = _rows(gradient)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _sum_columns(rows @ _matrix(weight), x.shape, ctx.window)
        if ctx.needs_input_grad[1]:
            of_weight = _weight(rows.t() @ columns, weight.shape)
        return of_x, of_weight, None


class _TransposedConvolution(Function):
    """y is the sum of the columns x W: x (N, C, H, W), weight (C, O, k, k), y (N, O, H', W')."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, window: _Window) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.window = window
        shape = (len(x), weight.shape[1], *window.size(x.shape[2:]))
        return _sum_columns(_rows(x) @ _matrix(weight), shape, window)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, gradient, x, weight, transposed=True)
        columns = _columns(gradient, ctx.window)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            n, _, height, width = x.shape
            of_x = _images(columns @ _matrix(weight).t(), (n, height, width))
        if ctx.needs_input_grad[1]:
            of_weight = _weight(_rows(x).t() @ columns, weight.shape)
        return of_x, of_weight, None


def _differentiable_backward(ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, transposed: bool
                             ) -> tuple[Tensor | None, Tensor | None, None]:
    """Compute the gradients by PyTorch's own functions, for penalties that differentiate them again."""
    window = ctx.window
    of_x, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, window.stride, window.padding, window.dilation, transposed, (0, 0), 1,
        (*ctx.needs_input_grad[:2], False))
    return of_x, of_weight, None


def _matrix(weight: Tensor) -> Tensor:
    """(A, B, k, k) -> (A, k k B), without a copy where all channels are used."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _weight(matrix: Tensor, shape: torch.Size) -> Tensor:
    """Invert :func:`_matrix`."""
    a, b, *kernel = shape
    return matrix.view(a, *kernel, b).permute(0, 3, 1, 2)


def _rows(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N H W, C)."""
    return images.permute(0, 2, 3, 1).flatten(0, 2)


def _images(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Invert :func:`_rows`; `shape` is (N, H, W)."""
    return rows.unflatten(0, shape).permute(0, 3, 1, 2)


def _columns(images: Tensor, window: _Window) -> Tensor:
    """Copy the windows of images into rows: (N, C, H, W) -> (N H' W', k k C)."""
    (top, left), (vertical, horizontal) = window.padding, window.kernel
    rows, columns = window.positions(images.shape[2:])
    padded = F.pad(images, (left, left, top, top))
    n, channels = padded.shape[:2]
    of_image, of_channel, down, right = padded.stride()
    windows = padded.as_strided(
        (n, rows, columns, vertical, horizontal, channels),
        (of_image, down * window.stride[0], right * window.stride[1],
         down * window.dilation[0], right * window.dilation[1], of_channel))
    return windows.reshape(n * rows * columns, -1)


def _sum_columns(columns: Tensor, shape: tuple[int, ...], window: _Window) -> Tensor:
    """Add up windows at their positions: (N H' W', k k C) -> `shape`, (N, C, H, W)."""
    n, channels, height, width = shape
    top, left = window.padding
    padded = columns.new_zeros(n, height + 2 * top, width + 2 * left, channels)
    positions = window.positions((height, width))
    windows = columns.view(n, *positions, *window.kernel, channels)
    for i in range(window.kernel[0]):
        for j in range(window.kernel[1]):
            vertical, horizontal = (slice(offset * dilation, offset * dilation + stride * count, stride)
                             for offset, dilation, stride, count in
                             zip((i, j), window.dilation, window.stride, positions, strict=True))
            padded[:, vertical, horizontal] += windows[:, :, :, i, j]
    return padded[:, top:top + height, left:left + width].contiguous().permute(0, 3, 1, 2)

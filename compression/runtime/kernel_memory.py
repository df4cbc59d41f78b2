"""The memory that kernels allocate besides their results, on a CPU.

The convolutions of PyTorch (oneDNN) compute in blocked or channels-last layouts. They copy their weights, and
tensors in other layouts. In bf16, the gradients of the weights need another copy of the larger operand. On
processors for which oneDNN has no 16-bit convolutions, PyTorch's own kernels copy the pixels under every
position of the kernel. The backward pass of a batch norm copies its input. The factors were measured with
torch.profiler for layers of all families (PyTorch 2.13).
"""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten


def kernel_bytes(operation: Any, arguments: Sequence[Any]) -> int:
    """Estimate the bytes that the kernel of an operation on a CPU allocates and frees while it runs.

    Args:
        operation: an operation of ``torch.ops.aten``.
        arguments: its positional arguments.
    """
    estimate = _KERNELS.get(operation)
    return estimate(arguments) if estimate else 0


@lru_cache
def _onednn_lacks(dtype: torch.dtype) -> bool:
    """Return whether oneDNN has no convolutions of a type on this processor."""
    supported = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}
    if dtype not in supported:
        return False
    return not (torch.backends.mkldnn.is_available() and getattr(torch.ops.mkldnn, supported[dtype])())


def _columns(x: Tensor, weight: Tensor, settings: Sequence[Any]) -> int:
    """Return the bytes of the copy that PyTorch's own kernels make of an image.

    Args:
        x: input of the convolution.
        weight: its weight.
        settings: stride, padding, dilation, and whether the convolution is transposed.
    """
    stride, padding, dilation, transposed = settings
    kernel = weight.shape[2:]
    if transposed:
        positions = math.prod(x.shape[2:])
    elif set(kernel) == set(stride) == {1} and not any(padding):
        return 0
    else:
        positions = math.prod((side + 2 * p - d * (k - 1) - 1) // s + 1 for side, p, d, k, s in zip(
            x.shape[2:], padding, dilation, kernel, stride, strict=True))
    return weight.shape[1] * math.prod(kernel) * positions * x.element_size()


def _convolution(arguments: Sequence[Any]) -> int:
    x, weight, transposed = arguments[0], arguments[1], arguments[6]
    if _onednn_lacks(x.dtype):
        return len(x) * _columns(x, weight, arguments[3:7])
    weights = (4 if transposed else 1) * weight.nbytes
    if x.is_contiguous(memory_format=torch.channels_last):
        return weights
    if not transposed:
        return weights + x.nbytes
    strides = arguments[3]
    output = x.shape[0] * weight.shape[1] * x.shape[2] * strides[0] * x.shape[3] * strides[-1]
    return weights + 2 * output * x.element_size()


def _convolution_backward(arguments: Sequence[Any]) -> int:
    gradient, x, weight = arguments[:3]
    if _onednn_lacks(x.dtype):
        return (1 if arguments[7] else len(x)) * _columns(x, weight, arguments[4:8])
    is_half = x.dtype in (torch.bfloat16, torch.float16)
    if x.is_contiguous(memory_format=torch.channels_last):
        needed = (2 if is_half else 3) * weight.nbytes
    else:
        needed = weight.nbytes + gradient.nbytes + x.nbytes
    return needed + (max(gradient.nbytes, x.nbytes) if is_half else 0)


def _batch_norm_backward(arguments: Sequence[Tensor]) -> int:
    return arguments[1].nbytes


_KERNELS: Mapping[Any, Callable[[Sequence[Any]], int]] = {
    _aten.convolution.default: _convolution,
    _aten.convolution_backward.default: _convolution_backward,
    _aten.native_batch_norm_backward.default: _batch_norm_backward,
}

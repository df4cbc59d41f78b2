"""The memory that kernels allocate besides their results, on a CPU.

The convolutions of PyTorch (oneDNN) compute in blocked or channels-last layouts. They copy their weights, and
tensors in other layouts. In bf16, the gradients of the weights need another copy of the larger operand. The
backward pass of a batch norm copies its input. The factors were measured with torch.profiler for layers of
all families (PyTorch 2.13).
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def _convolution(arguments: Sequence[Any]) -> int:
    x, weight, transposed = arguments[0], arguments[1], arguments[6]
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

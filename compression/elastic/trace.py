"""The layers that a network runs, recorded from one forward pass on the meta device.

Cost computation and extraction both use this record, so neither maintains its own list of layers.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..runtime.modes import eval_mode
from .arch import Arch

_ARGUMENT_NAMES = {F.conv2d: ("weight", "bias"), F.conv_transpose2d: ("weight", "bias"),
                   F.linear: ("weight", "bias"),
                   F.batch_norm: ("running_mean", "running_var", "weight", "bias")}
# the meta device takes up to a millisecond for each of these, so they are not run
_SAME_SHAPE = (F.instance_norm, F.relu, F.leaky_relu, torch.relu, torch.tanh)


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        function: the function of ``torch.nn.functional``.
        tensors: argument name -> slice of a parameter or buffer, or None.
        input_area, output_area: height x width of the input and of the output.
    """

    function: Callable
    tensors: dict[str, Any]
    input_area: int
    output_area: int


class _Recorder(TorchFunctionMode):
    """Record the calls of layers and compute their outputs on the meta device, which has shapes but no
    values."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in _SAME_SHAPE:
            return args[0]
        if function not in _ARGUMENT_NAMES:
            return function(*args, **kwargs)
        x, *rest = args
        names = _ARGUMENT_NAMES[function]
        tensors = dict(zip(names, rest, strict=False))  # the arguments after them are not tensors
        tensors |= {name: kwargs[name] for name in names if name in kwargs}
        if function is F.batch_norm:
            self.calls.append(Call(function, tensors, x.shape[2:].numel(), x.shape[2:].numel()))
            return x
        with torch._C.DisableTorchFunction():
            meta_args = [value.to("meta") if isinstance(value, Tensor) else value for value in rest]
            meta_kwargs = {k: v.to("meta") if isinstance(v, Tensor) else v for k, v in kwargs.items()}
            y = function(x, *meta_args, **meta_kwargs)
        self.calls.append(Call(function, tensors, x.shape[2:].numel(), y.shape[2:].numel()))
        return y


def trace(net: nn.Module, input_nc: int, size: tuple[int, int], arch: Arch | None = None) -> list[Call]:
    """Record the layers that `net` runs for one image, in running order.

    The recorded tensors are the network's own parameters and buffers, or views of them. Nothing is computed.

    Args:
        net: the network, in any mode.
        input_nc: number of input channels.
        size: (height, width) of the input in pixels.
        arch: the sub-network to run; None is the full network.
    """
    with eval_mode(net), torch.no_grad(), _Recorder() as recorder:
        x = torch.empty(1, input_nc, *size, device="meta")
        if arch is None:  # net.forward, not net(...): a compiled network must not be traced
            net.forward(x)
        else:
            net.forward(x, arch)
    return recorder.calls

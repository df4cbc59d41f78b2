"""One description of a network: its forward pass, run on the meta device and recorded.

Costs and extraction read the same record, so neither keeps a list of layers of its own.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .arch import Arch
from ..runtime.modes import eval_mode

_NAMES = {F.conv2d: ("weight", "bias"), F.conv_transpose2d: ("weight", "bias"), F.linear: ("weight", "bias"),
          F.batch_norm: ("running_mean", "running_var", "weight", "bias")}


@dataclass(frozen=True)
class Call:
    """A layer as it ran: its function, its tensors by role (slices of the parameters, or None) and, as channels and
    height x width, what went in and came out. `groups` are the channels of each concatenated part of the input."""

    function: object
    tensors: dict[str, Tensor | None]
    input_channels: int
    input_area: int
    output_area: int


class _Recorder(TorchFunctionMode):
    """Records layer calls and computes their outputs on the meta device, where nothing is calculated."""

    def __init__(self):
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function not in _NAMES:
            return function(*args, **kwargs)
        x, *rest = args
        tensors = dict(zip(_NAMES[function], rest))
        tensors |= {name: kwargs[name] for name in _NAMES[function] if name in kwargs}
        with torch._C.DisableTorchFunction():
            moved = [value.to("meta") if isinstance(value, Tensor) else value for value in rest]
            kwargs = {k: v.to("meta") if isinstance(v, Tensor) else v for k, v in kwargs.items()}
            y = function(x, *moved, **kwargs)
        self.calls.append(Call(function, tensors, x.shape[1], x.shape[2:].numel(), y.shape[2:].numel()))
        return y


def trace(net: nn.Module, input_nc: int, size: tuple[int, int], arch: Arch | None = None) -> list[Call]:
    """The layers that `net` runs for one image of `size` (height, width), in the order in which they run.

    The tensors in the record are the network's own parameters and buffers, or views of them; nothing is computed.
    """
    with eval_mode(net), torch.no_grad(), _Recorder() as recorder:
        x = torch.empty(1, input_nc, *size, device="meta")
        net.forward(x) if arch is None else net.forward(x, arch)  # never a compiled one
    return recorder.calls

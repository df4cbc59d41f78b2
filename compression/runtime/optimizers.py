"""Adam in one fused kernel for all weights, in any memory layout."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_DEVICES = ("cpu", "cuda")  # with a fused kernel in every supported version of PyTorch


class FusedAdam(torch.optim.Adam):
    """torch.optim.Adam with ``fused=True``, for weights in any memory layout.

    The fused kernel of the CPU pairs the values of a weight, its gradient, and its moments by their order in
    memory, so that all of them must have one layout. In the layout channels-last it takes twice as long,
    unless it gets flat views.
    """

    def __init__(self, parameters: Any, **settings: Any):
        super().__init__(parameters, fused=True, **settings)

    def step(self, closure: Any = None) -> Any:
        """Take a step; gradients and moments of another layout are converted to that of their weight."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad = _in_layout_of(parameter, parameter.grad)
                    state = self.state[parameter]
                    for name in ("exp_avg", "exp_avg_sq"):
                        if name in state:
                            state[name] = _in_layout_of(parameter, state[name])
        return super().step(closure)

    def _init_group(self, group: dict, *lists: Any) -> Any:
        """Collect the tensors of a group, as flat views."""
        collected = super()._init_group(group, *lists)
        if group["fused"]:  # not in the state of a run that was started without it
            for tensors in lists[:4]:  # weights, gradients, and both moments
                tensors[:] = [tensor.as_strided((tensor.numel(),), (1,)) for tensor in tensors]
        return collected


def _in_layout_of(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return `tensor`, in the memory layout of `parameter`."""
    if tensor.stride() == parameter.stride():
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)


def build_adam(parameters: Iterable[Tensor], **settings: Any) -> torch.optim.Adam:
    """Build Adam, fused where the device of the parameters has the kernel.

    Args:
        parameters: all on one device.
        settings: further arguments of torch.optim.Adam.
    """
    parameters = list(parameters)
    if parameters[0].device.type in _DEVICES:
        return FusedAdam(parameters, **settings)
    return torch.optim.Adam(parameters, **settings)

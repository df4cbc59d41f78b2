"""The memory that the backward pass of a network needs, computed without running it."""
from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from . import distributed


def activation_bytes(net: nn.Module, shape: Sequence[int]) -> int:
    """Compute how many bytes one training pass of `net` stores for its backward pass, in float32.

    A copy of the network runs on the meta device, which has shapes but no values.

    Args:
        net: the network, called with one tensor.
        shape: shape of the input, (N, C, H, W).
    """
    net = copy.deepcopy(net).to("meta").train()
    weights = {p.untyped_storage()._cdata for p in net.parameters()}
    stored: dict[int, tuple[int, Tensor]] = {}  # address -> size, and tensor to reserve the address

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            stored[storage._cdata] = (storage.nbytes(), tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, distributed.local_only(), torch.enable_grad():
        net(torch.zeros(tuple(shape), device="meta"))
    return sum(size for size, _ in stored.values())


def training_error(net: nn.Module, shape: Sequence[int]) -> str | None:
    """Explain why a training pass of `net` fails for inputs of a shape, (N, C, H, W); None if it does not."""
    try:
        activation_bytes(net, shape)
    except (RuntimeError, ValueError) as error:  # torch raises both for layers whose input is too small
        return str(error).splitlines()[0]
    return None

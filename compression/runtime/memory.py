"""How much memory a network's backward pass needs, without running it."""
from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from ..runtime import distributed


def activation_bytes(net: nn.Module, shape: Sequence[int]) -> int:
    """Bytes that one training pass of `net` keeps for its backward pass, in float32.

    The network is copied to the meta device, where tensors have shapes and no values.

    Args:
        net: called with one tensor.
        shape: of its input, (N, C, H, W).
    """
    net = copy.deepcopy(net).to("meta").train()
    weights, found = {p.untyped_storage()._cdata for p in net.parameters()}, {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            found[storage._cdata] = (storage.nbytes(), tensor)  # the tensor too, or its address is used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), distributed.local_only(), torch.enable_grad():
        net(torch.zeros(tuple(shape), device="meta"))
    return sum(size for size, _ in found.values())

"""Training passes without values, which show whether a network takes inputs of a size."""
from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from . import distributed


def training_error(net: nn.Module, shape: Sequence[int]) -> str | None:
    """Explain why a training pass of `net` fails for inputs of a shape; None if it does not.

    A copy of the network runs on the meta device, which has shapes but no values.

    Args:
        net: the network, called with one tensor.
        shape: shape of the input, (N, C, H, W).
    """
    net = copy.deepcopy(net).to("meta").train()
    try:
        with distributed.local_only(), torch.enable_grad():
            net(torch.zeros(tuple(shape), device="meta"))
    except (RuntimeError, ValueError) as error:  # torch raises both for layers whose input is too small
        return str(error).splitlines()[0]
    return None

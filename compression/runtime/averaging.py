"""Exponential moving average of the weights of a network during training."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_WARM_UP = 10  # steps; after n steps the decay is at most (1 + n) / (_WARM_UP + n)


def moving_average(net: nn.Module, decay: float) -> AveragedModel:
    """Start the exponential moving average of the weights of a network.

    After n steps the decay is min(`decay`, (1 + n) / (10 + n)), as in TensorFlow's ExponentialMovingAverage,
    so that a short training is not averaged with its initial weights. The number of steps is a part of the
    average's state.

    Args:
        net: the network; ``update_parameters(net)`` takes a step of the average.
        decay: of the average, in [0, 1).
    """
    @torch.no_grad()
    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], steps: Tensor | int) -> None:
        n = int(steps)
        torch._foreach_lerp_(list(averages), list(weights), 1 - min(decay, (1 + n) / (_WARM_UP + n)))

    return AveragedModel(net, multi_avg_fn=update)

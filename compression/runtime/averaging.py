"""Exponential moving average of the weights of a network during training."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_WARM_UP = 10  # steps; after n steps the decay is at most (1 + n) / (_WARM_UP + n)


class MovingAverage(AveragedModel):
    """Exponential moving average of the weights of a network.

    After n steps the decay is min(`decay`, (1 + n) / (10 + n)), as in TensorFlow's ExponentialMovingAverage,
    so that a short training is not averaged with its initial weights. The number of steps is a part of the
    average's state.

    Args:
        net: the network; ``update_parameters(net)`` takes a step of the average.
        decay: of the average, in [0, 1).
    """

    def __init__(self, net: nn.Module, decay: float):
        super().__init__(net, multi_avg_fn=self._update)
        self.decay = decay

    @torch.no_grad()
    def _update(self, averages: Sequence[Tensor], weights: Sequence[Tensor], _: Tensor | int) -> None:
        n = int(self.n_averaged)  # in the memory of the CPU; the argument is a copy on the device
        decay = min(self.decay, (1 + n) / (_WARM_UP + n))
        torch._foreach_lerp_(list(averages), list(weights), 1 - decay)

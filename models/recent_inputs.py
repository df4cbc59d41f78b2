"""The most recent inputs of a training, which calibrate the batch norms of the student that is saved."""
from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

COUNT = 64  # inputs that are kept
_BATCH_SIZE = 16  # of the calibration, as in search.py


class RecentInputs:
    """Keeps inputs of the last steps in the memory of the CPU, as the data set has them.

    Label maps are kept as integers, because their one-hot encoding is many times as large.

    Attributes:
        items: the inputs, (C, H, W) each, possibly of several sizes: images in [-1, 1], or integer ids.
    """

    def __init__(self) -> None:
        self.items: list[Tensor] = []

    def add(self, items: Iterable[Tensor]) -> None:
        """Add copies of inputs, which share no memory with their batch, and drop the oldest ones."""
        self.items = [*self.items, *(item.detach().cpu().clone() for item in items)][-COUNT:]

    def batches(self) -> Iterator[Tensor]:
        """Yield the inputs as (N, C, H, W), N at most 16; a batch has inputs of one size and type."""
        groups: dict[tuple, list[Tensor]] = {}
        for item in self.items:
            groups.setdefault((item.dtype, *item.shape), []).append(item)
        for group in groups.values():
            yield from torch.stack(group).split(_BATCH_SIZE)

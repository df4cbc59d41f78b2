"""The content of ``latest_state.pth``, from which a training run continues exactly."""
from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from compression.checkpoints.records import Count, Limits, read_record

from .run_folder import load_state, state_path

Epoch = Annotated[int, Limits(1, 10 ** 9)]
Word = Annotated[int, Limits(0, 2 ** 32)]  # of a Mersenne Twister, or the position in its words


@dataclass
class RandomState:
    """The random generators of a process, as :func:`util.entry.rng_state` returns them."""

    python: tuple[Count, list[Word], float | None]
    numpy: tuple[str, list[Word], Count, Count, float]
    torch: Tensor
    cuda: Tensor | None = None


@dataclass
class OptimizerState:
    """The state of an optimizer of PyTorch."""

    state: dict[int, dict]
    param_groups: list[dict]


@dataclass
class ModelState:
    """What a model needs to continue exactly."""

    networks: dict[str, dict[str, Tensor]]
    optimizers: list[OptimizerState]
    schedulers: list[dict]
    scalers: list[dict]
    average: dict[str, Tensor]
    extra: dict  # each model checks its own


@dataclass
class TrainingState:
    """The entries of a training state that are read back."""

    settings: dict[str, Any]
    epoch: Epoch
    epoch_iters: Count
    total_iters: Count
    epoch_count: Epoch
    validation: list[dict[str, float]]
    logs: dict[str, Count]
    model: ModelState
    rng: list[RandomState]
    threads: Count | None = None  # of the CPU


def load_training_state(folder: str | os.PathLike) -> dict[str, Any]:
    """Load the training state of a run and check all of its entries.

    Raises:
        ValueError: as :func:`util.run_folder.load_state`, or if an entry has another type or range; the
            message names the file and the entry.
    """
    state = load_state(folder)
    read_record(TrainingState, state, state_path(folder))
    return state

"""The latency budget of a search (``--latency_ms``): its table, predictions, and final measurement."""
from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from compression import Arch, CostModel, SearchSpace
from compression.elastic.generator import ElasticGenerator
from compression.runtime import distributed
from compression.search.evolution import LatencyLimit
from compression.search.latency_model import LatencyModel
from compression.search.latency_table import LatencyTable, LatencyTarget
from compression.search.sampling import WindowSampler

from . import before_torch

UNIT = "ms (--latency_ms)"
NEAR = 16  # measured sub-networks whose latencies are close to the budget
_NEAR_LOW, _NEAR_HIGH = 0.75, 1.1  # of the budget
_ERROR = 0.1  # median relative error of predictions above which the search warns


@dataclass(frozen=True)
class LatencyBudget:
    """A budget of latency in a runtime.

    Attributes:
        most: the budget in milliseconds.
        least: minimum latency in milliseconds of a candidate that does not use its MACs budget either.
        table: the measured sub-networks.
        model: predicts the latencies of others.
    """

    most: float
    least: float
    table: LatencyTable
    model: LatencyModel

    @staticmethod
    def of(opt: Namespace, space: SearchSpace, cost_model: CostModel, folder: Path,
           device: torch.device) -> LatencyBudget | None:
        """Read the budget of search.py, and measure its table unless `folder` has it; None without a budget.

        Raises:
            ValueError: a runtime that is not installed, a damaged table, or a budget below the fastest
                sub-network.
        """
        if opt.latency_ms is None:
            return None
        target = LatencyTarget(opt.latency_runtime, opt.threads or default_threads(), device)
        path = folder / f"latency_{target.runtime}_{target.threads}.json"
        table = LatencyTable(space, cost_model, target, path)
        table.rows = distributed.on_rank_zero(lambda: _measure_table(table, opt.latency_ms,
                                                                     opt.continue_train))
        model = LatencyModel(cost_model, table.archs, table.milliseconds)
        available = min(opt.latency_ms, float(model([space.largest])[0]))
        budget = LatencyBudget(opt.latency_ms, opt.least_share * available, table, model)
        if model.median_error > _ERROR and not distributed.rank():
            print(f"warning: the predicted latencies are off by {model.median_error:.0%} (median); stop "
                  f"other work on this device, delete {path}, and search again", file=sys.stderr)
        return budget

    @property
    def limit(self) -> LatencyLimit:
        """The limit of an evolution."""
        return LatencyLimit(self.model, self.most, self.least)

    def largest_macs(self, space: SearchSpace, cost_model: CostModel) -> int:
        """Estimate the MACs of the largest students within the budget, from 32 random ones."""
        rng = np.random.default_rng(0)
        archs = WindowSampler(space, self.model, self.least, self.most, rng, UNIT).sample(rng, 32)
        return int(cost_model.macs(archs).max())

    def describe(self) -> str:
        """Describe where the latency is measured, in one line."""
        conditions = self.table.conditions
        return (f"latency: one image in {conditions['runtime']} {conditions['version']}, "
                f"{_threads(conditions['threads'])}, {conditions['device']}, predicted from "
                f"{len(self.table.rows)} measured sub-networks with a median error of "
                f"{self.model.median_error:.1%} ({self.table.path})")

    def predicted(self, arch: Arch) -> float:
        """Predict the latency of one architecture in milliseconds, rounded to three decimals."""
        return round(float(self.model([arch])[0]), 3)

    def measure(self, net: ElasticGenerator) -> float:
        """Measure the latency of a network for a second, in milliseconds."""
        return round(self.table.target.measure(net, self.table.cost_model.size), 3)

    def record(self) -> dict[str, Any]:
        """Return what the results of the search say about the latency."""
        names = ("runtime", "version", "device", "threads")
        conditions = {name: self.table.conditions[name] for name in names}
        return {**conditions, "budget_ms": self.most, "median_error": round(self.model.median_error, 4)}


def default_threads() -> int:
    """Return PyTorch's own number of threads, however many cores are idle now."""
    return before_torch.default_threads or torch.get_num_threads()


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _measure_table(table: LatencyTable, budget: float, is_continued: bool) -> dict:
    """Measure what the table lacks; return its rows.

    A search that is continued has the table that it began with, so that its predictions stay the same.

    Raises:
        ValueError: if the budget is below the fastest measured sub-network.
    """
    differing = table.load()
    is_complete = is_continued and bool(table.rows)
    if differing:
        print(f"{table.path}: the table of latencies is of other conditions ({'; '.join(differing)}), so "
              "it is measured again")
    _measure(table, table.general(), "latency table")
    fastest = float(table.milliseconds.min())
    if budget < fastest:
        conditions = table.conditions
        raise ValueError(f"--latency_ms {budget:g}: the fastest sub-network takes {fastest:.3g} ms in "
                         f"{conditions['runtime']} with {_threads(conditions['threads'])} on "
                         f"{conditions['device']}; use a larger budget, or another --latency_runtime or "
                         "--threads")
    if is_complete:
        return table.rows
    near = table.milliseconds / budget
    missing = NEAR - int(((near >= _NEAR_LOW) & (near <= _NEAR_HIGH)).sum())
    if missing > 0:
        model = LatencyModel(table.cost_model, table.archs, table.milliseconds)
        rng = np.random.default_rng(0)
        sampler = WindowSampler(table.space, model, _NEAR_LOW * budget, _NEAR_HIGH * budget, rng, UNIT)
        try:
            candidates = sampler.sample(rng, 2 * NEAR)
        except ValueError:  # a budget above the largest network
            candidates = []
        _measure(table, [arch for arch in dict.fromkeys(candidates) if arch not in table.rows][:missing],
                 "latencies near the budget")
    return table.rows


def _measure(table: LatencyTable, archs: list[Arch], description: str) -> None:
    """Measure architectures with a progress bar, unless all of them are in the table."""
    if all(arch in table.rows for arch in archs):
        return
    with tqdm(total=len(archs), desc=description, unit="net", dynamic_ncols=True) as progress:
        table.measure(archs, progress.update)

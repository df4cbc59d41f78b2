"""Sampling of architectures whose MACs, or whose latency, are in a window."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..elastic.arch import Arch
from ..runtime.text import giga
from .macs import CostModel

if TYPE_CHECKING:
    from .space import SearchSpace

LEAST_SHARE = 0.8  # of a budget: the lower end of its window, unless the user sets another
_MAX_BATCHES = 200  # batches of samples that are drawn before a window counts as empty
_SHARE_SAMPLES = 500  # from which the share of a sampler is estimated
_MAX_TRIES = 1000  # of drawing a single architecture in a window


Measure = Callable[[Sequence[Arch]], np.ndarray]  # (N,) MACs or milliseconds of N architectures


class WindowSampler:
    """Samples architectures with ``low <= measure <= high`` by rejection; the measure is MACs or latency.

    Uniform architectures nearly always exceed the budget of a student. Each sample therefore has its own
    tilt t (:func:`compression.search.space.tilted_index`), normally distributed around a mean that is fitted
    to the window once.

    Args:
        space: the search space.
        measure: computes the MACs or the latencies of architectures.
        low: its minimum.
        high: its maximum.
        rng: random generator of the fit.
        unit: unit of the measure, for messages.
    """

    def __init__(self, space: SearchSpace, measure: Measure, low: float, high: float,
                 rng: np.random.Generator, unit: str = "MACs"):
        self.space = space
        self.measure = measure
        self.unit = unit
        self.low = low
        self.high = high
        self.mean, self.std = self._fit_tilt(rng)
        self.known: list[Arch] = []

    @staticmethod
    def of_macs(space: SearchSpace, cost_model: CostModel, low: float, high: float,
                rng: np.random.Generator) -> WindowSampler:
        """Build the sampler of a window of MACs.

        Raises:
            ValueError: if the window is outside the space.
        """
        smallest, largest = (int(macs) for macs in cost_model.macs([space.smallest, space.largest]))
        if high < smallest:
            raise ValueError(f"--macs must be at least {smallest} ({giga(smallest)} G, the smallest "
                             f"network), got {high:g}")
        if low > largest or low > high:
            raise ValueError(f"no network has between {low:g} and {high:g} MACs; the largest has {largest}")
        return WindowSampler(space, cost_model.macs, low, high, rng)

    def _fit_tilt(self, rng: np.random.Generator) -> tuple[float, float]:
        """Fit the distribution of the tilt to the window, from 16 samples at each tilt of a grid.

        A tilt is good if its share of samples in the window is at least half of the best share. The mean is
        the average of the good tilts. Without a lower limit, it is the smallest good tilt, so that samples
        come close to the budget. If no sample is in the window, it is the tilt whose median is closest.

        Returns:
            Mean and standard deviation of the tilt.
        """
        grid = np.linspace(-8, 24, 33)
        samples = [self.space.draw(rng, tilt) for tilt in np.repeat(grid, 16)]
        values = self.measure(samples).reshape(len(grid), 16)
        share = ((values >= self.low) & (values <= self.high)).mean(1)
        if not share.any():
            limit = self.high if np.isfinite(self.high) else self.low
            closest = np.abs(np.median(values, 1) - limit).argmin()
            return float(grid[closest]), 2.0
        good = grid[share >= 0.5 * share.max()]
        mean = good[0] if self.low == 0 else good.mean()
        return float(mean), 1.0

    def _tries(self, rng: np.random.Generator, n: int) -> list[Arch]:
        """Draw `n` architectures and return those in the window."""
        tilts = self.mean + self.std * rng.standard_normal(n)
        batch = [self.space.draw(rng, tilt) for tilt in tilts]
        return [arch for arch, value in zip(batch, self.measure(batch), strict=True)
                if self.low <= value <= self.high]

    def share(self, accepts: Callable[[Sequence[Arch]], Sequence[Arch]], rng: np.random.Generator) -> float:
        """Estimate the share of its draws that are in the window and that `accepts` selects."""
        return len(accepts(self._tries(rng, _SHARE_SAMPLES))) / _SHARE_SAMPLES

    def sample(self, rng: np.random.Generator, n: int) -> list[Arch]:
        """Sample `n` architectures; ValueError if too few samples are in the window."""
        accepted: list[Arch] = []
        for _ in range(_MAX_BATCHES):
            accepted += self._tries(rng, max(64, n))
            if len(accepted) >= n:
                return accepted[:n]
        raise ValueError(f"sampled only {len(accepted)} of {n} networks with {self.low:g} to {self.high:g} "
                         f"{self.unit}; set a larger budget")

    def draw(self, rng: np.random.Generator) -> Arch:
        """Draw one architecture with few tries; after too many, it is one of those in `known`."""
        for _ in range(_MAX_TRIES):
            accepted = self._tries(rng, 1)
            if accepted:
                return accepted[0]
        return self.known[int(rng.integers(len(self.known)))]


def budget_window(space: SearchSpace, cost_model: CostModel, budget: int, flag: str,
                  rng: np.random.Generator) -> WindowSampler:
    """Build the sampler of the networks that use between ``LEAST_SHARE`` of a budget and all of it.

    A budget above the largest network is that of the largest network.

    Args:
        space: the search space.
        cost_model: computes MACs.
        budget: maximum MACs.
        flag: the flag of the budget, for the message.
        rng: random generator.

    Raises:
        ValueError: if no network is in the window.
    """
    smallest, largest = (int(macs) for macs in cost_model.macs([space.smallest, space.largest]))
    reachable = (f"budgets from {giga(smallest)} G (the smallest network) to {giga(largest)} G (the largest) "
                 f"are reachable for images of {cost_model.size[0]}x{cost_model.size[1]} (height x width)")
    if budget < smallest:
        raise ValueError(f"{flag} is {giga(budget)} G MACs; {reachable}")
    budget = min(budget, largest)
    sampler = WindowSampler.of_macs(space, cost_model, LEAST_SHARE * budget, budget, rng)
    try:
        sampler.known = sampler.sample(rng, 8)
    except ValueError:
        raise ValueError(f"{flag}: no network was found that uses between {LEAST_SHARE:.0%} of "
                         f"{giga(budget)} G MACs and all of it; choose another budget: {reachable}") from None
    return sampler

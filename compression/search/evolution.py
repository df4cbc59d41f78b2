"""Evolutionary search for architectures under budgets, as in once-for-all (ICLR 2020)."""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..elastic.arch import Arch
from ..runtime.text import giga
from .macs import CostModel
from .sampling import Measure, WindowSampler
from .space import SearchSpace

_MAX_BATCHES = 100  # batches of candidates that are tried before a generation stays incomplete
_MAX_STALE = 400  # samples without a new candidate, after which the space counts as exhausted


@dataclass(frozen=True)
class LatencyLimit:
    """A budget of latency.

    Attributes:
        predict: predicts the latencies of architectures in milliseconds.
        most: maximum latency in milliseconds.
        least: minimum latency; a candidate may instead have the minimum of MACs.
    """

    predict: Measure
    most: float
    least: float = 0


class Evolution:
    """Evolutionary search with an ask-and-tell interface; lower scores are better.

    The first generation is sampled under the budget. For each later generation, the best architectures so far
    (a quarter of the population size) are the parents; a tenth of the candidates is sampled, and the others
    are mutations and crossovers of the parents in equal parts. No architecture is proposed twice.

    Args:
        space: search space.
        cost_model: computes the costs that the budgets limit.
        max_macs: maximum MACs of a candidate.
        max_params: maximum number of parameters of a candidate, or None.
        min_macs: minimum MACs of a candidate, at most those of the largest architecture.
        population: number of candidates in a generation.
        seed: seed of all random choices.
        mutation_rate: probability with which a mutation resamples a width or a depth.
        excluded: architectures that are never proposed.
        is_feasible: returns whether an architecture within the budgets may be proposed (default: always).
        latency: a budget of latency, or None.

    Raises:
        ValueError: if a budget is below the smallest network of the space.
    """

    def __init__(self, space: SearchSpace, cost_model: CostModel, max_macs: int,
                 max_params: int | None = None, min_macs: int = 0, population: int = 32, seed: int = 0,
                 mutation_rate: float = 0.15, excluded: Collection[Arch] = (),
                 is_feasible: Callable[[Arch], bool] = lambda arch: True,
                 latency: LatencyLimit | None = None):
        smallest = cost_model.cost(space.smallest)
        if max_macs < smallest["macs"]:
            raise ValueError(f"the budget of {giga(max_macs)} G MACs is below the smallest network, "
                             f"which costs {giga(smallest['macs'])} G ({smallest['macs']})")
        if max_params is not None and max_params < smallest["params"]:
            raise ValueError(f"the budget of {max_params} parameters is below the smallest network, "
                             f"which has {smallest['params']}")
        if population < 2:
            raise ValueError(f"--population must be at least 2, got {population}")
        self.space = space
        self.cost_model = cost_model
        self.max_macs = max_macs
        self.max_params = max_params
        self.min_macs = min(min_macs, cost_model.cost(space.largest)["macs"])
        self.population = population
        self.mutation_rate = mutation_rate
        self.excluded = set(excluded)
        self.is_feasible = is_feasible
        self.latency = latency
        self.rng = np.random.default_rng(seed)
        self.sampler = self._build_sampler(np.random.default_rng(seed))
        self.scores: dict[Arch, float] = {}
        self.proposed: list[Arch] = []
        self.chosen: Arch | None = None

    def _build_sampler(self, rng: np.random.Generator) -> WindowSampler:
        """Build the sampler of random candidates: of a window of MACs or of latency, whichever more often
        meets both."""
        if self.latency is None:
            return WindowSampler.of_macs(self.space, self.cost_model, self.min_macs, self.max_macs, rng)
        samplers = (
            WindowSampler(self.space, self.latency.predict, self.latency.least, self.latency.most, rng, "ms"),
            WindowSampler.of_macs(self.space, self.cost_model, self.min_macs, self.max_macs, rng))
        return max(samplers, key=lambda sampler: sampler.share(self._affordable, rng))

    def ask(self) -> list[Arch]:
        """Propose the next generation: up to `population` new architectures, none if the space is exhausted.

        Until :meth:`tell` is called, further calls return the same generation.
        """
        if not self.proposed:
            if self.scores:
                self.proposed = self._breed()
            else:
                self.proposed = self._sample(self.population, self.excluded)
        return list(self.proposed)

    def tell(self, scores: Mapping[Arch, float]) -> None:
        """Record the scores of the proposed generation; an architecture without a score is infeasible."""
        for arch in self.proposed:
            self.scores[arch] = float(scores.get(arch, np.inf))
        self.proposed = []
        self.chosen = None

    def revise(self, scores: Mapping[Arch, float]) -> None:
        """Replace the scores of architectures that have one."""
        self.scores.update({arch: float(score) for arch, score in scores.items() if arch in self.scores})

    @property
    def ranking(self) -> list[Arch]:
        """The feasible architectures so far, the best first."""
        feasible = [arch for arch, score in self.scores.items() if np.isfinite(score)]
        return sorted(feasible, key=self.scores.__getitem__)

    @property
    def best(self) -> tuple[Arch, float]:
        """The architecture of :meth:`choose`, otherwise the best one so far; and its score."""
        if not self.ranking:
            raise ValueError("no candidate has met the budgets yet")
        arch = self.chosen or self.ranking[0]
        return arch, self.scores[arch]

    def choose(self, arch: Arch) -> None:
        """Choose one of the scored architectures for another reason than its score."""
        self.chosen = arch

    def state_dict(self) -> dict:
        """Return the state as plain data that JSON can hold."""
        return {"scores": [[arch.to_json(), score] for arch, score in self.scores.items()],
                "proposed": [arch.to_json() for arch in self.proposed], "rng": self.rng.bit_generator.state,
                "chosen": self.chosen and self.chosen.to_json()}

    def load_state_dict(self, state: Mapping) -> None:
        """Restore the state from :meth:`state_dict`; the search then continues exactly."""
        self.scores = {Arch.from_json(arch): float(score) for arch, score in state["scores"]}
        self.proposed = [Arch.from_json(arch) for arch in state["proposed"]]
        self.rng.bit_generator.state = state["rng"]
        self.chosen = Arch.from_json(state["chosen"]) if state.get("chosen") else None

    def _breed(self) -> list[Arch]:
        """Generate the next generation from the best architectures so far."""
        parents = self.ranking[:max(2, self.population // 4)]
        known = set(self.scores) | self.excluded
        children: list[Arch] = []

        def pick_parent() -> Arch:
            return parents[int(self.rng.integers(len(parents)))]

        def mutation() -> Arch:
            return self.space.mutate(pick_parent(), self.rng, self.mutation_rate)

        def crossover() -> Arch:
            child = self.space.crossover(pick_parent(), pick_parent(), self.rng)
            return self.space.mutate(child, self.rng, self.mutation_rate / 4)

        sampled = max(1, self.population // 10)
        mutations = (self.population - sampled) // 2
        crossovers = self.population - sampled - mutations
        if parents:
            children += self._generate(mutation, mutations, known)
            children += self._generate(crossover, crossovers, known)
        return children + self._sample(self.population - len(children), known)

    def _generate(self, breed: Callable[[], Arch], count: int, known: set[Arch]) -> list[Arch]:
        """Call `breed` until it has returned `count` architectures that are new and within the budgets.

        Adds them to `known`. Returns fewer if too many attempts fail.
        """
        children: list[Arch] = []
        for _ in range(_MAX_BATCHES):
            batch = [breed() for _ in range(count - len(children))]
            for arch in self._affordable(batch):
                if arch not in known:
                    known.add(arch)
                    children.append(arch)
            if len(children) == count:
                break
        return children

    def _sample(self, count: int, known: set[Arch]) -> list[Arch]:
        """Sample up to `count` architectures that are not in `known` and within the budgets."""
        accepted: dict[Arch, None] = {}  # an ordered set
        stale = 0
        while len(accepted) < count and stale < _MAX_STALE:
            batch = set(self.sampler.sample(self.rng, count)) - known - set(accepted)
            found = self._affordable(sorted(batch, key=str))
            accepted.update(dict.fromkeys(found))
            stale = 0 if found else stale + count
        return list(accepted)[:count]

    def _affordable(self, archs: Sequence[Arch]) -> list[Arch]:
        """Select the feasible architectures within the budgets."""
        if not archs:
            return []
        macs, _, params = self.cost_model(archs).T
        uses_enough = macs >= self.min_macs
        is_affordable = macs <= self.max_macs
        if self.max_params is not None:
            is_affordable &= params <= self.max_params
        if self.latency is not None:
            milliseconds = self.latency.predict(archs)
            is_affordable &= milliseconds <= self.latency.most
            uses_enough |= milliseconds >= self.latency.least
        affordable = [arch for arch, fits in zip(archs, is_affordable & uses_enough, strict=True) if fits]
        return [arch for arch in affordable if self.is_feasible(arch)]


def pareto_front(scores: Mapping[Arch, float], measure: Measure) -> list[tuple[Arch, float, float]]:
    """Select the architectures that no other one beats in both MACs, or latency, and score (lower is better).

    Args:
        scores: the scores of the candidates; an infinite one is infeasible.
        measure: computes MACs or milliseconds.

    Returns:
        (architecture, MACs or milliseconds, score), by ascending MACs or milliseconds.
    """
    archs = [arch for arch, score in scores.items() if np.isfinite(score)]
    if not archs:
        return []
    costs = measure(archs).tolist()
    front: list[tuple[Arch, float, float]] = []
    for arch, cost in sorted(zip(archs, costs, strict=True), key=lambda pair: (pair[1], scores[pair[0]])):
        if not front or scores[arch] < front[-1][2]:
            front.append((arch, cost, scores[arch]))
    return front

"""Evolution search over architectures under budgets (as in once-for-all, ICLR 2020, and GAN Compression, CVPR 2020)."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..elastic.arch import Arch
from .macs import CostModel
from .space import SearchSpace

_TRIES = 100


class Evolution:
    """A population that is asked for candidates and told their scores; lower scores are better.

    The first generation is drawn at random under the budget. Each later one keeps the best quarter as parents; half of
    the new candidates are mutations, half crossovers, and a tenth are drawn afresh. No architecture is proposed twice.

    Args:
        space: where candidates come from.
        cost_model: costs for the budgets.
        max_macs: greatest MACs of a candidate.
        max_params: greatest parameter count, or None.
        min_macs: least MACs of a candidate; lowered to what the space has.
        population: candidates in a generation.
        seed: seeds every random choice.
        mutation_rate: probability with which a mutation changes a width.

    Raises:
        ValueError: if a budget is below the smallest network of the space.
    """

    def __init__(self, space: SearchSpace, cost_model: CostModel, max_macs: int, max_params: int | None = None,
                 min_macs: int = 0, population: int = 32, seed: int = 0, mutation_rate: float = 0.15):
        least = cost_model.cost(space.smallest)
        if max_macs < least["macs"]:
            raise ValueError(f"the budget of {max_macs / 1e9:.3f} G MACs is below the smallest network, which costs "
                             f"{least['macs'] / 1e9:.3f} G ({least['macs']})")
        if max_params is not None and max_params < least["params"]:
            raise ValueError(f"the budget of {max_params} parameters is below the smallest network, which has "
                             f"{least['params']}")
        if population < 2:
            raise ValueError(f"--population must be at least 2, got {population}")
        self.space, self.cost_model, self.max_macs, self.max_params = space, cost_model, max_macs, max_params
        self.population, self.mutation_rate = population, mutation_rate
        self.min_macs = min(min_macs, cost_model.cost(space.largest)["macs"])
        self.rng = np.random.default_rng(seed)
        self.scores: dict[Arch, float] = {}
        self.proposed: list[Arch] = []

    def ask(self) -> list[Arch]:
        """The next generation to score: up to `population` new architectures, none if the space is exhausted.

        Asked again before :meth:`tell`, it answers the same.
        """
        if not self.proposed:
            self.proposed = self._breed() if self.scores else self._fresh(self.population, set())
        return list(self.proposed)

    def tell(self, scores: Mapping[Arch, float]) -> None:
        """Scores of the asked generation; an architecture without a score counts as infeasible."""
        for arch in self.proposed:
            self.scores[arch] = float(scores.get(arch, np.inf))
        self.proposed = []

    @property
    def best(self) -> tuple[Arch, float]:
        """The best architecture so far and its score."""
        feasible = {arch: score for arch, score in self.scores.items() if np.isfinite(score)}
        if not feasible:
            raise ValueError("no candidate has met the budgets yet")
        return min(feasible.items(), key=lambda item: item[1])

    def state_dict(self) -> dict:
        """Plain data (JSON-able) from which :meth:`load_state_dict` continues exactly."""
        return {"scores": [[arch.to_json(), score] for arch, score in self.scores.items()],
                "proposed": [arch.to_json() for arch in self.proposed], "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping) -> None:
        """Continue from :meth:`state_dict`."""
        self.scores = {Arch.from_json(arch): float(score) for arch, score in state["scores"]}
        self.proposed = [Arch.from_json(arch) for arch in state["proposed"]]
        self.rng.bit_generator.state = state["rng"]

    def _breed(self) -> list[Arch]:
        ranked = sorted((a for a, s in self.scores.items() if np.isfinite(s)), key=self.scores.__getitem__)
        parents = ranked[: max(2, self.population // 4)]
        children: list[Arch] = []
        taken = set(self.scores)

        def fill(count: int, breed: Callable[[], Arch]) -> None:
            for _ in range(_TRIES):
                batch = [breed() for _ in range(count)]
                for arch in self._affordable(batch):
                    if arch not in taken and count > 0:
                        taken.add(arch)
                        children.append(arch)
                        count -= 1
                if count <= 0:
                    return

        def pick() -> Arch:
            return parents[int(self.rng.integers(len(parents)))]

        fresh = max(1, self.population // 10)
        mutants = (self.population - fresh) // 2
        if parents:
            fill(mutants, lambda: self.space.mutate(pick(), self.rng, self.mutation_rate))
            fill(self.population - fresh - mutants,
                 lambda: self.space.mutate(self.space.crossover(pick(), pick(), self.rng), self.rng,
                                           self.mutation_rate / 4))
        return children + self._fresh(self.population - len(children), taken)

    def _fresh(self, count: int, taken: set[Arch]) -> list[Arch]:
        found: dict[Arch, None] = {}
        for _ in range(_TRIES):
            if len(found) >= count:
                break
            drawn = self.space.sample(self.rng, count, self.cost_model, self.max_macs, self.min_macs)
            found |= {a: None for a in self._affordable(drawn) if a not in taken}
        return list(found)[:count]

    def _affordable(self, archs: Sequence[Arch]) -> list[Arch]:
        costs = self.cost_model(archs)
        return [a for a, (macs, _, params) in zip(archs, costs)
                if self.min_macs <= macs <= self.max_macs and (self.max_params is None or params <= self.max_params)]


def pareto_front(scores: Mapping[Arch, float], cost_model: CostModel) -> list[tuple[Arch, int, float]]:
    """The architectures that none beats in both MACs and score (lower is better), by ascending MACs."""
    archs = [arch for arch, score in scores.items() if np.isfinite(score)]
    if not archs:
        return []
    order = sorted(zip(archs, (int(m) for m in cost_model.macs(archs))), key=lambda p: (p[1], scores[p[0]]))
    front: list[tuple[Arch, int, float]] = []
    for arch, macs in order:
        if not front or scores[arch] < front[-1][2]:
            front.append((arch, macs, scores[arch]))
    return front

"""The plan of a search that takes a given time (``--minutes``)."""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from compression import Arch
from compression.checkpoints.records import Limits
from compression.search.halving import SHARE

from .candidate_scores import CandidateScores

IMAGES = (100, 32, 16)  # numbers of images, of which the largest one that leaves enough time is chosen
_ENOUGH = 256  # candidates for the student, as by default
_FEWEST = 16  # candidates, of two generations
_POPULATION = (8, 64)
_USED = 0.9  # share of the time for candidates; the rest is for the metrics of the Pareto front
_Number = Annotated[int, Limits(1, 10 ** 5)]


@dataclass(frozen=True)
class SearchPlan:
    """The size of a search.

    Attributes:
        population: candidates of a generation.
        generations: generations of the search for the student; half as many for each teacher.
        search_images: maximum number of images that candidates are scored on.
    """

    population: _Number
    generations: _Number
    search_images: _Number

    def describe(self, minutes: float) -> str:
        """Describe the plan in one line, as the flags that it replaces."""
        return (f"plan for {minutes:g} minutes: --population {self.population} --generations "
                f"{self.generations} --search_images {self.search_images}")


def make_plan(minutes: float, start: float, measure: Callable[[int], float], smallest_population: int = 0,
              few: int = 0) -> SearchPlan:
    """Choose the largest search that ends in time.

    Args:
        minutes: the time for the complete search.
        start: the time when it began, of ``time.monotonic``.
        measure: prepares a number of images and measures the seconds for one candidate for the student and
            one for a teacher.
        smallest_population: the population is at least this.
        few: the number of images is above this, that of ``--halving_images``.

    Raises:
        ValueError: if the time is too short for the smallest search, or `few` is too large.
    """
    numbers = [number for number in IMAGES if number > few]
    if not numbers:
        raise ValueError(f"--halving_images {few}: --minutes scores candidates on at most {IMAGES[0]} "
                         "images; use fewer, or drop one of the flags")
    for images in numbers:
        seconds = measure(images)
        left = _USED * (60 * minutes - (time.monotonic() - start))
        candidates = int(left / max(seconds, 1e-6))
        if candidates >= _ENOUGH:
            break
    if candidates < _FEWEST:
        needed = (_FEWEST * seconds / _USED + time.monotonic() - start) / 60
        raise ValueError(f"--minutes {minutes:g} is too short: the smallest search takes about "
                         f"{needed:.2g} minutes on this device")
    population = max(_POPULATION[0], smallest_population, min(_POPULATION[1], int(2 * candidates ** 0.5)))
    return SearchPlan(population, max(2, candidates // population), images)


def seconds_of(scores: CandidateScores, archs: Sequence[Arch]) -> float:
    """Measure the seconds in which all processes together score a candidate, with halving if it is used.

    Without candidates, they are 0.
    """
    def elapsed(subset: int | None, some: Sequence[Arch]) -> float:
        start = time.monotonic()
        for _ in scores.of(some, subset):
            pass
        return (time.monotonic() - start) / len(some)

    if not archs:
        return 0.0
    with scores.open():
        elapsed(None, archs[:scores.processes])  # the first ones are slower
        full = elapsed(None, archs)
        return elapsed(0, archs) + full / SHARE if scores.halving else full

"""One evolution of a search: all its generations, with every score saved."""
from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from tqdm import tqdm

from compression import Arch
from compression.runtime import distributed
from compression.search.evolution import Evolution
from compression.search.halving import ANCHORS, Halving, best_subset

from .candidate_scores import CandidateScores
from .signals import StopSignals

_SAVE_SECONDS = 1.0  # between two saves of scores
_CORRELATION = 0.6  # of the scores on a few and on all images, below which the search warns


class EvolutionRun:
    """Runs an evolution, or the rest of an interrupted one.

    Args:
        name: of the search, such as ``student``.
        evolution: proposes the candidates.
        scores: scores them.
        generations: number of generations.
        save: saves the state of :meth:`state_dict`.
        how_to_continue: the message when a signal stops the search.
    """

    def __init__(self, name: str, evolution: Evolution, scores: CandidateScores, generations: int,
                 save: Callable[[dict[str, Any]], None], how_to_continue: str):
        self.name = name
        self.evolution = evolution
        self.scores = scores
        self.generations = generations
        self.save = save
        self.how_to_continue = how_to_continue
        self.generation = 0  # the next one
        self.scored: dict[Arch, float] = {}  # of this generation, without halving
        self.halving = Halving()
        self._saved = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data that JSON can hold."""
        state = {"evolution": self.evolution.state_dict(), "generations": self.generation,
                 "scored": [[arch.to_json(), score] for arch, score in self.scored.items()]}
        return {**state, "halving": self._halving_state()} if self.scores.halving else state

    def load_state_dict(self, state: dict[str, Any], path: Path) -> None:
        """Restore the state from :meth:`state_dict`.

        Raises:
            ValueError: if it is damaged; the message names `path`.
        """
        try:
            self.evolution.load_state_dict(state["evolution"])
            self.scored = {Arch.from_json(arch): score for arch, score in state["scored"]}
            if self.scores.halving and state.get("halving"):
                self.halving.load_state_dict(state["halving"])
                self.scores.subset = state["halving"].get("subset")
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: 'searches.{self.name}' is damaged ({error})") from None
        self.generation = state["generations"]

    def run(self, stop: StopSignals) -> None:
        """Run all generations; a signal stops the program after the current candidate."""
        population = self.evolution.population
        done = self.generation * population + len(self.scored)
        progress = tqdm(total=self.generations * population, initial=done, desc=self.name, unit="net",
                        dynamic_ncols=True, disable=distributed.rank() > 0)
        while self.generation < self.generations:
            candidates = self.evolution.ask()
            if self.scores.halving:
                self._choose_subset(candidates[:ANCHORS], stop)
                self._score(candidates, self.halving.few, stop, progress, self.scores.subset)
                self._score(self.halving.promoted(candidates), self.halving.full, stop)
                scores = self.halving.scores()
            else:
                self._score(candidates, self.scored, stop, progress)
                scores = self.scored
            self.evolution.tell(scores)
            self.evolution.revise(scores)
            self.scored = {}
            self.generation += 1
            self._save()
            if any(isfinite(score) for score in self.evolution.scores.values()):
                progress.set_postfix(best=f"{self.evolution.best[1]:.4f}")
        progress.total = progress.n  # a small search space holds fewer networks than were requested
        progress.close()

    def _choose_subset(self, anchors: Sequence[Arch], stop: StopSignals) -> None:
        """Choose the few images, unless they are chosen: those that rank the first candidates best."""
        if self.scores.subset is not None:
            return
        self._score(anchors, self.halving.full, stop)
        few: list[dict[Arch, float]] = []
        for subset in range(len(self.scores.subsets)):
            few.append({})
            self._score(anchors, few[subset], stop, subset=subset)
        self.scores.subset, correlation = best_subset([self.halving.full[arch] for arch in anchors],
                                                      [[scores[arch] for arch in anchors] for scores in few])
        self.halving.few |= few[self.scores.subset]
        if distributed.rank() == 0:
            tqdm.write(f"the scores of {len(anchors)} candidates on {self.scores.few} images correlate with "
                       f"those on all: {correlation:.2f}")
        if correlation < _CORRELATION and distributed.rank() == 0:
            tqdm.write("warning: this correlation is low, so that good candidates may be missed; use more "
                       "--halving_images, or 0 to score every candidate on all images", file=sys.stderr)

    def _halving_state(self) -> dict[str, Any]:
        return {**self.halving.state_dict(), "subset": self.scores.subset}

    def score_best(self, count: int, stop: StopSignals) -> None:
        """Choose the best candidate. With halving, the best `count` are scored on all images first.

        The next searches depend on this choice, so that later scores do not change it.
        """
        tried = max(count, self.evolution.population // 10)
        while self.scores.halving and self.halving.estimated(self.evolution.ranking[:count]):
            self.score_fully(self.halving.estimated(self.evolution.ranking[:tried]), stop)
        if self.evolution.chosen is None:
            self.evolution.choose(self.evolution.best[0])
            self._save()

    def score_fully(self, archs: Sequence[Arch], stop: StopSignals) -> None:
        """Score candidates on all images whose scores are estimated from a few."""
        self._score(archs, self.halving.full, stop)
        self.evolution.revise(self.halving.scores())
        self._save()

    def _score(self, archs: Sequence[Arch], known: dict[Arch, float], stop: StopSignals,
               progress: tqdm | None = None, subset: int | None = None) -> None:
        """Add the scores of architectures to the known ones, in the order of `archs`."""
        for scores in self.scores.of([arch for arch in archs if arch not in known], subset):
            known.update(scores)
            if progress is not None:
                progress.update(len(scores))
            stop.synchronize()
            if stop.received or time.monotonic() - self._saved > _SAVE_SECONDS:
                self._save()
            stop.exit_if_received(self.how_to_continue)
        for arch in archs:  # processes finish in any order
            known[arch] = known.pop(arch)

    def _save(self) -> None:
        self.save(self.state_dict())
        self._saved = time.monotonic()

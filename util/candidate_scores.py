"""The scores of the candidates of a search, on a few or on all images, in one or several processes."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from compression import Arch
from compression.runtime import distributed
from compression.search.halving import SUBSETS, default_images
from compression.search.scoring import Scorer

from .entry import batched
from .scoring_processes import ScoringProcesses, choose_processes


class CandidateScores:
    """Scores sub-networks on all images, or on a subset of them if ``--halving_images`` is above 0.

    Args:
        opt: parsed options of search.py.
        scorer: scores on all images.
        device: device of the search.
        size: (height, width) of an image in pixels.

    Attributes:
        subsets: scorers on subsets; empty without halving.
        subset: index of the one that is used, None until it is chosen.
        processes: number of processes of this machine that score.

    Raises:
        ValueError: if there are not more images than ``--halving_images``, or several processes are requested
            that cannot be started.
    """

    def __init__(self, opt: Namespace, scorer: Scorer, device: torch.device, size: tuple[int, int]):
        self.full = scorer
        images = sum(len(batch) for batch in scorer.inputs)
        self.few = opt.halving_images
        if self.few is None:
            shapes = {batch.shape[1:] for batch in scorer.inputs}
            self.few = default_images(images, scorer.criterion) if len(shapes) == 1 else 0
        elif self.few >= images:
            raise ValueError(f"--halving_images {self.few}: there are only {images} images to score on; use "
                             "a smaller number, or 0 to score every candidate on all of them")
        seeds = range(opt.seed, opt.seed + SUBSETS) if self.few else ()
        self.subsets = [scorer.subset(self.few, seed) for seed in seeds]
        self.subset: int | None = None
        self.processes = choose_processes(opt.processes, device, size)
        self._pool: ScoringProcesses | None = None

    @property
    def halving(self) -> bool:
        """Whether candidates are scored on a few images first."""
        return bool(self.subsets)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Start the processes, and end them after the block."""
        if self.processes > 1:
            self._pool = ScoringProcesses(self.score, self.processes)
        try:
            yield
        finally:
            if self._pool:
                self._pool.close()
                self._pool = None

    def score(self, arch: Arch, subset: int | None = None) -> float:
        """Score a sub-network in this process, on all images or on a subset."""
        scorer = self.full if subset is None else self.subsets[subset]
        with distributed.local_only():
            return scorer(arch)

    def of(self, archs: Sequence[Arch], subset: int | None) -> Iterator[dict[Arch, float]]:
        """Score sub-networks in all processes; yields scores as soon as they are known."""
        if self._pool:
            for arch, score in self._pool.scores(archs, subset):
                yield {arch: score}
            return
        rank = distributed.rank()
        for part in batched(archs, distributed.world_size()):
            own_score = self.score(part[rank], subset) if rank < len(part) else None
            scores = distributed.all_gather_objects(own_score)
            yield dict(zip(part, scores, strict=False))  # the last processes may have none

    def describe(self) -> str:
        """Describe how candidates are scored, in one line; empty for one process without halving."""
        parts = []
        if self.halving:
            parts.append(f"all candidates are scored on {self.few} images first, the best on all "
                         "(--halving_images)")
        if self.processes > 1:
            parts.append(f"{self.processes} processes score, with one thread each (--processes)")
        return "; ".join(parts)

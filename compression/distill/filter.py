"""The Adaptive Data Filter (UGC, section 3.3): which fake labels of unlabeled inputs are good enough to learn from.

The paper shows what the filter is worth (table 3), not its formula. Our reading: a teacher's fake label is as good as
its own discriminator head finds it real; it counts if it scores at least a running quantile of what the same teacher
scores on labeled inputs, so that the threshold adapts while both learn.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..runtime import distributed
from ..originals.objectives import DiscriminatorOutput
from .ssim import ssim


def realness(pred: DiscriminatorOutput) -> Tensor:
    """A discriminator's judgment -> for each sample the mean of its logits, averaged over the scales, (N,)."""
    return torch.stack([layers[-1].detach().float().flatten(1).mean(1) for layers in pred]).mean(0)


def agreement(images: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Images of the teachers, (N, C, H, W) each -> for each teacher its mean SSIM to the others, (N,)."""
    if len(images) < 2:
        raise ValueError("--adf agreement compares teachers and needs two, use --teachers multi")
    return {name: torch.stack([ssim(image, other) for key, other in images.items() if key != name]).mean(0)
            for name, image in images.items()}


class NoFilter:
    """Accepts every fake label (``--adf off``); the base of the filters.

    Args:
        teachers: their names.
        quantile: in [0, 1), of the labeled scores (``--adf_quantile``).
        window: how many labeled scores back a filter looks.
        warmup: how many it needs before it accepts anything.

    Raises:
        ValueError: for a quantile outside [0, 1), or too few teachers.
    """

    kind = "off"
    fewest_teachers = 1

    def __init__(self, teachers: Sequence[str], quantile: float = 0.5, window: int = 256, warmup: int = 16):
        if not 0 <= quantile < 1:
            raise ValueError(f"--adf_quantile must be in [0, 1), got {quantile}")
        if len(teachers) < self.fewest_teachers:
            raise ValueError(f"--adf {self.kind} compares teachers and needs {self.fewest_teachers} "
                             f"(--teachers multi), got {len(teachers)}: {', '.join(teachers)}")
        self.quantile, self.warmup = quantile, warmup
        self.history = {name: deque(maxlen=window) for name in teachers}
        self.acceptance = {name: 1.0 for name in teachers}

    def observe(self, scores: Mapping[str, Tensor]) -> None:
        """Take the scores (N,) of labeled inputs, by teacher."""

    def accept(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores (N,) of unlabeled inputs, by teacher -> masks (N,), true where the fake label counts."""
        return {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}

    def state_dict(self) -> dict:
        """Plain data for an exact resume."""
        return {"kind": self.kind, "history": {name: list(seen) for name, seen in self.history.items()},
                "acceptance": dict(self.acceptance)}

    def load_state_dict(self, state: Mapping) -> None:
        """Continue from :meth:`state_dict`; ValueError if it is of another filter or other teachers."""
        if state["kind"] != self.kind or set(state["history"]) != set(self.history):
            raise ValueError(f"the checkpoint's filter is --adf {state['kind']} with teachers "
                             f"{', '.join(state['history'])}; this run asks for --adf {self.kind} and "
                             f"{', '.join(self.history)} (--teachers)")
        for name, seen in state["history"].items():
            self.history[name].clear()
            self.history[name].extend(seen)
        self.acceptance = dict(state["acceptance"])


class AdaptiveDataFilter(NoFilter):
    """Accepts where the score reaches the running `quantile` of the last `window` labeled scores.

    Until `warmup` labeled scores are seen nothing is accepted. `acceptance` is an exponential average of the share
    accepted, for the log; it starts at 0, the share of the warm-up.
    """

    kind = "discriminator"

    def __init__(self, teachers: Sequence[str], **settings):
        super().__init__(teachers, **settings)
        self.acceptance = {name: 0.0 for name in teachers}

    def threshold(self, name: str) -> float:
        """The score that teacher `name` must reach; infinite during warm-up."""
        seen = self.history[name]
        if len(seen) < self.warmup:
            return float("inf")
        return float(torch.quantile(torch.tensor(list(seen), dtype=torch.float64), self.quantile))

    def observe(self, scores: Mapping[str, Tensor]) -> None:
        for name, score in scores.items():
            self.history[name].extend(distributed.all_gather(score.double()).cpu().tolist())

    def accept(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        masks = {name: score >= self.threshold(name) for name, score in scores.items()}
        for name, mask in masks.items():
            if len(mask):
                self.acceptance[name] = 0.98 * self.acceptance[name] + 0.02 * float(distributed.all_reduce_mean(mask.float().mean()))
        return masks


class AgreementFilter(AdaptiveDataFilter):
    """The same rule on scores of :func:`agreement`."""

    kind = "agreement"
    fewest_teachers = 2


FILTERS = {filter.kind: filter for filter in (NoFilter, AdaptiveDataFilter, AgreementFilter)}

"""The Adaptive Data Filter (UGC, section 3.3), which decides which fake labels of unlabeled inputs the
student uses.

The paper reports the gain of the filter (its table 3), but not its formula. Ours: every fake label T_k(u)
of teacher k gets a score s_k(u) (:mod:`compression.distill.scores`), and counts if the score reaches a
running quantile of recent scores, so that the threshold t_k adapts while the teachers train:

    m_k(u) = [s_k(u) >= t_k].

The rules differ in the score, and in whose scores the quantile is taken of: those of unlabeled inputs, which
keeps a share of them, or those of labeled inputs.
"""
from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..runtime import distributed
from .fake_labels import FakeLabels
from .scores import agreement, consistency, patch_agreement, realness

Labels = Mapping[str, FakeLabels]  # by teacher


@dataclass(frozen=True)
class FilterSettings:
    """Settings of the filters.

    Attributes:
        keep: share of the unlabeled inputs that is kept, in (0, 1] (``--adf_keep``).
        quantile: quantile of the labeled scores that is the threshold, in [0, 1) (``--adf_quantile``).
        tau: distance between the teachers at which a weight is 1/e, above 0 (``--adf_tau``).
        window: number of recent scores that a quantile is taken of.
        warmup: number of labeled scores that are required before anything is accepted.

    Raises:
        ValueError: a value is out of its range.
    """

    keep: float = 0.75
    quantile: float = 0.5
    tau: float = 0.2
    window: int = 256
    warmup: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError(f"--adf_keep must be above 0 and at most 1, got {self.keep}")
        if not 0 <= self.quantile < 1:
            raise ValueError(f"--adf_quantile must be in [0, 1), got {self.quantile}")
        if not 0 < self.tau < math.inf:
            raise ValueError(f"--adf_tau must be a finite number above 0, got {self.tau}")


class DataFilter(ABC):
    """Base class of the filters: weighs the fake labels of a batch.

    Args:
        teachers: names of the teachers.
        settings: the settings.

    Attributes:
        kind: value of ``--adf``.
        min_teachers: number of teachers that the scores require.
        uses_flips: whether the scores require the images of flipped inputs.
        uses_prediction: whether the scores require the output of the discriminator.
        acceptance: running average of the accepted share, by teacher.
        history: the last `window` scores of each teacher; values of NaN, which come first, are none. Like
            `acceptance`, it stays on the device: a training step does not wait for values.

    Raises:
        ValueError: there are too few teachers.
    """

    kind: str
    min_teachers = 1
    uses_flips = False
    uses_prediction = False
    initial_acceptance = 1.0

    def __init__(self, teachers: Sequence[str], settings: FilterSettings | None = None):
        if len(teachers) < self.min_teachers:
            raise ValueError(f"--adf {self.kind} compares teachers and needs {self.min_teachers} "
                             f"(--teachers multi), got {len(teachers)}: {', '.join(teachers)}")
        self.settings = settings or FilterSettings()
        self.history = {name: torch.empty(0, dtype=torch.float64) for name in teachers}
        self.acceptance: dict[str, float | Tensor] = dict.fromkeys(teachers, self.initial_acceptance)

    @abstractmethod
    def scores(self, labels: Labels) -> dict[str, Tensor]:
        """Compute the scores s_k(z), (N,), of the fake labels of each teacher; higher is better."""

    @abstractmethod
    def weigh(self, labels: Labels, labeled: int) -> dict[str, Tensor]:
        """Compute m_k(u) for the unlabeled inputs, (N_u,) bool or (N_u, 1, h, w), by teacher."""

    def masks(self, labels: Labels, labeled: int) -> dict[str, Tensor]:
        """Update the thresholds and compute the masks of a batch that starts with labeled inputs.

        Args:
            labels: fake labels of N inputs z, by teacher.
            labeled: number of labeled inputs among the N.

        Returns:
            m_k(z) by teacher: (N,) bool, or weights in [0, 1] of patches, (N, 1, h, w); true or 1 for all
            labeled inputs.
        """
        masks = {}
        for name, mask in self.weigh(labels, labeled).items():
            if len(mask):
                share = distributed.all_reduce_mean(mask.double().mean())
                self.acceptance[name] = 0.98 * self.acceptance[name] + 0.02 * share
            masks[name] = torch.cat((mask.new_ones(labeled, *mask.shape[1:]), mask))
        return masks

    def state_dict(self) -> dict:
        """Return the state as plain data, for an exact resume."""
        history = {name: scores[scores.isfinite()].tolist() for name, scores in self.history.items()}
        return {"kind": self.kind, "history": history,
                "acceptance": {name: float(share) for name, share in self.acceptance.items()}}

    def load_state_dict(self, state: Mapping) -> None:
        """Restore the state.

        Raises:
            ValueError: it is the state of another filter or of other teachers.
        """
        if state["kind"] != self.kind or set(state["history"]) != set(self.history):
            raise ValueError(f"the checkpoint's filter is --adf {state['kind']} with teachers "
                             f"{', '.join(state['history'])}; this run has --adf {self.kind} with teachers "
                             f"{', '.join(self.history)} (--teachers)")
        for name, scores in state["history"].items():
            self.history[name] = torch.tensor(scores, dtype=torch.float64)
        self.acceptance = dict(state["acceptance"])


class NoFilter(DataFilter):
    """Accepts every fake label (``--adf off``)."""

    kind = "off"

    def scores(self, labels: Labels) -> dict[str, Tensor]:
        return {name: label.images.new_zeros(len(label.images)) for name, label in labels.items()}

    def weigh(self, labels: Labels, labeled: int) -> dict[str, Tensor]:
        return {name: label.images.new_ones(len(label.images) - labeled, dtype=torch.bool)
                for name, label in labels.items()}


class QuantileFilter(DataFilter):
    """Base class of the filters with a threshold t_k, a quantile of the last `window` scores.

    Scores that are NaN or infinite are never accepted, and no threshold depends on them.
    """

    def observe(self, scores: Mapping[str, Tensor]) -> None:
        """Add scores (N,) of all processes to the window, by teacher."""
        for name, score in scores.items():
            new = distributed.all_gather(score.double())
            values = torch.cat((self.history[name].to(new.device), new))
            finite = values.isfinite()
            newest = finite.int().argsort(stable=True)  # finite scores after the others, in their order
            self.history[name] = values.where(finite, math.nan)[newest][-self.settings.window:]

    def quantile(self, name: str, level: float) -> Tensor:
        """Compute the quantile of the window of teacher `name`; infinity or NaN if it is empty."""
        history = self.history[name]
        if not len(history):
            return history.new_tensor(math.inf)
        return history.nanquantile(level)

    @abstractmethod
    def threshold(self, name: str) -> Tensor:
        """Compute t_k for teacher `name`; no score reaches infinity or NaN."""

    def accept(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the masks m_k(u), (N_u,) bool, from the scores s_k(u), (N_u,)."""
        return {name: score.isfinite() & (score >= self.threshold(name)) for name, score in scores.items()}


class UnlabeledQuantileFilter(QuantileFilter):
    """Keeps about the share `keep` of the unlabeled inputs.

        t_k = Q_{1 - keep}(the last 256 s_k(u), with those of this batch)

    The share does not fall to 0 if fake labels of unlabeled inputs become worse than those of labeled ones.
    """

    def __init__(self, teachers: Sequence[str], settings: FilterSettings | None = None):
        super().__init__(teachers, settings)
        self.acceptance = dict.fromkeys(teachers, self.settings.keep)

    def threshold(self, name: str) -> Tensor:
        return self.quantile(name, 1 - self.settings.keep)

    def weigh(self, labels: Labels, labeled: int) -> dict[str, Tensor]:
        scores = self.scores({name: label.unlabeled(labeled) for name, label in labels.items()})
        self.observe(scores)
        return self.accept(scores)


class ConsistencyFilter(UnlabeledQuantileFilter):
    """Keeps the fake labels about which the teachers agree, and that are consistent under a flip."""

    kind = "consistency"
    uses_flips = True

    def scores(self, labels: Labels) -> dict[str, Tensor]:
        return consistency(labels)


class LabeledQuantileFilter(QuantileFilter):
    """Accepts fake labels that score as high as those of labeled inputs.

        t_k = Q_q(the last 256 s_k(x))

    Nothing is accepted before there are `warmup` labeled scores.
    """

    initial_acceptance = 0.0

    def threshold(self, name: str) -> Tensor:
        count = self.history[name].isfinite().sum()
        return self.quantile(name, self.settings.quantile).where(count >= self.settings.warmup, math.inf)

    def weigh(self, labels: Labels, labeled: int) -> dict[str, Tensor]:
        scores = self.scores(labels)
        self.observe({name: score[:labeled] for name, score in scores.items()})
        return self.accept({name: score[labeled:] for name, score in scores.items()})


class DiscriminatorFilter(LabeledQuantileFilter):
    """Accepts fake labels that the discriminator head of their teacher scores as real enough."""

    kind = "discriminator"
    uses_prediction = True

    def scores(self, labels: Labels) -> dict[str, Tensor]:
        return {name: realness(label.prediction) for name, label in labels.items()}


class AgreementFilter(LabeledQuantileFilter):
    """Accepts fake labels that the SSIM between the images of the teachers rates high enough."""

    kind = "agreement"
    min_teachers = 2

    def scores(self, labels: Labels) -> dict[str, Tensor]:
        return agreement({name: label.images for name, label in labels.items()})


class SoftFilter(DataFilter):
    """Weighs every patch of a fake label by the agreement of the teachers there; rejects none.

        m_k(u, p) = exp(-|T_W(u) - T_D(u)|_1(p) / tau) at patch p
    """

    kind = "soft"
    min_teachers = 2

    def scores(self, labels: Labels) -> dict[str, Tensor]:
        """Compute the mean weight of each fake label, (N,)."""
        return {name: weights.mean((1, 2, 3)) for name, weights in self._weights(labels).items()}

    def weigh(self, labels: Labels, labeled: int) -> dict[str, Tensor]:
        return self._weights({name: label.unlabeled(labeled) for name, label in labels.items()})

    def _weights(self, labels: Labels) -> dict[str, Tensor]:
        """Compute the weights of all patches; 0 in an image with a value that is NaN or infinite."""
        images = {name: label.images for name, label in labels.items()}
        weights = patch_agreement(images, self.settings.tau)
        return {name: torch.where(value.isfinite().all(3, True).all(2, True), value, 0.0)
                for name, value in weights.items()}


FILTERS: dict[str, type[DataFilter]] = {
    rule.kind: rule
    for rule in (ConsistencyFilter, SoftFilter, AgreementFilter, DiscriminatorFilter, NoFilter)}

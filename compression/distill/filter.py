"""The Adaptive Data Filter (UGC, section 3.3), which decides which fake labels of unlabeled inputs the
student uses.

The paper reports the gain of the filter (its table 3), but not its formula. Ours: teacher k scores its
fake labels,

    s_k(z) = mean D_k(z, G_k(z)),

and a fake label of an unlabeled input u counts if it reaches a running quantile of the scores of the same
teacher on labeled inputs x, so that the threshold adapts while teacher and discriminator train:

    t_k = Q_q(the last 256 s_k(x)),    m_k(u) = [s_k(u) >= t_k].
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..originals.objectives import DiscriminatorOutput
from ..runtime import distributed
from .fake_labels import FakeLabels
from .ssim import ssim


def realness(prediction: DiscriminatorOutput) -> Tensor:
    """Compute s_k(z) = mean D_k(z, G_k(z)): the mean logit of every sample, averaged over the scales.

    Args:
        prediction: output of a discriminator for N samples; its last layers are the logits, (N, 1, h, w).

    Returns:
        (N,) scores in float32, without gradients.
    """
    logits = [layers[-1].detach().float() for layers in prediction]
    return torch.stack([scale.flatten(1).mean(1) for scale in logits]).mean(0)


def agreement(images: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Compute s_k(z) = mean over j != k of SSIM(T_k(z), T_j(z)): how much a teacher agrees with the others.

    Args:
        images: T_k(z) of at least two teachers k, (N, C, H, W) each.

    Returns:
        (N,) scores for each teacher.
    """
    scores = {}
    for name, image in images.items():
        similarities = [ssim(image, other) for other_name, other in images.items() if other_name != name]
        scores[name] = torch.stack(similarities).mean(0)
    return scores


class DataFilter(ABC):
    """Base class of the filters: scores fake labels, and accepts some of those of unlabeled inputs.

    Args:
        teachers: names of the teachers.
        quantile: q, in [0, 1) (``--adf_quantile``).
        window: number of labeled scores that the quantile is taken of.
        warmup: number of labeled scores that are required before anything is accepted.

    Attributes:
        kind: value of ``--adf``.
        min_teachers: number of teachers that the scores require.
        acceptance: running average of the accepted share, by teacher.

    Raises:
        ValueError: the quantile is outside [0, 1), or there are too few teachers.
    """

    kind: str
    min_teachers = 1
    initial_acceptance: float

    def __init__(self, teachers: Sequence[str], quantile: float = 0.5, window: int = 256, warmup: int = 16):
        if not 0 <= quantile < 1:
            raise ValueError(f"--adf_quantile must be in [0, 1), got {quantile}")
        if len(teachers) < self.min_teachers:
            raise ValueError(f"--adf {self.kind} compares teachers and needs {self.min_teachers} "
                             f"(--teachers multi), got {len(teachers)}: {', '.join(teachers)}")
        self.quantile = quantile
        self.warmup = warmup
        self.history: dict[str, deque[float]] = {name: deque(maxlen=window) for name in teachers}
        self.acceptance = dict.fromkeys(teachers, self.initial_acceptance)

    @abstractmethod
    def scores(self, labels: Mapping[str, FakeLabels]) -> dict[str, Tensor]:
        """Compute the scores s_k(z), (N,), of the fake labels of each teacher; higher is better."""

    @abstractmethod
    def observe(self, scores: Mapping[str, Tensor]) -> None:
        """Update the thresholds with the scores s_k(x), (N,), of labeled inputs."""

    @abstractmethod
    def accept(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the masks m_k(u), (N,) bool, from the scores s_k(u), (N,), of unlabeled inputs."""

    def masks(self, scores: Mapping[str, Tensor], labeled: int) -> dict[str, Tensor]:
        """Update the thresholds and compute the masks of a batch that starts with labeled inputs.

        Args:
            scores: s_k(z), (N,), by teacher.
            labeled: number of labeled inputs among the N.

        Returns:
            m_k(z), (N,) bool, by teacher; true for all labeled inputs.
        """
        self.observe({name: score[:labeled] for name, score in scores.items()})
        accepted = self.accept({name: score[labeled:] for name, score in scores.items()})
        return {name: torch.cat((torch.ones(labeled, dtype=torch.bool, device=mask.device), mask))
                for name, mask in accepted.items()}

    def state_dict(self) -> dict:
        """Return the state as plain data, for an exact resume."""
        return {"kind": self.kind, "history": {name: list(scores) for name, scores in self.history.items()},
                "acceptance": dict(self.acceptance)}

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
            self.history[name].clear()
            self.history[name].extend(scores)
        self.acceptance = dict(state["acceptance"])


class NoFilter(DataFilter):
    """Accepts every fake label (``--adf off``)."""

    kind = "off"
    initial_acceptance = 1.0

    def scores(self, labels: Mapping[str, FakeLabels]) -> dict[str, Tensor]:
        return {name: label.images.new_zeros(len(label.images)) for name, label in labels.items()}

    def observe(self, scores: Mapping[str, Tensor]) -> None:
        pass

    def accept(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}


class AdaptiveDataFilter(DataFilter):
    """Accepts fake labels that the discriminator head of their teacher scores as real enough.

    The threshold is the running quantile in this module's docstring. Nothing is accepted before there are
    `warmup` labeled scores.
    """

    kind = "discriminator"
    initial_acceptance = 0.0

    def scores(self, labels: Mapping[str, FakeLabels]) -> dict[str, Tensor]:
        return {name: realness(label.prediction) for name, label in labels.items()}

    def threshold(self, name: str) -> float:
        """Compute t_k for teacher `name`; infinity during the warmup."""
        history = self.history[name]
        if len(history) < self.warmup:
            return float("inf")
        return float(torch.quantile(torch.tensor(list(history), dtype=torch.float64), self.quantile))

    def observe(self, scores: Mapping[str, Tensor]) -> None:
        for name, score in scores.items():
            self.history[name].extend(distributed.all_gather(score.double()).cpu().tolist())

    def accept(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        masks = {name: score >= self.threshold(name) for name, score in scores.items()}
        for name, mask in masks.items():
            if len(mask):
                share = float(distributed.all_reduce_mean(mask.float().mean()))
                self.acceptance[name] = 0.98 * self.acceptance[name] + 0.02 * share
        return masks


class AgreementFilter(AdaptiveDataFilter):
    """Accepts fake labels on which the teachers agree: the same rule with the scores of :func:`agreement`."""

    kind = "agreement"
    min_teachers = 2

    def scores(self, labels: Mapping[str, FakeLabels]) -> dict[str, Tensor]:
        return agreement({name: label.images for name, label in labels.items()})


FILTERS: dict[str, type[DataFilter]] = {
    kind.kind: kind for kind in (NoFilter, AdaptiveDataFilter, AgreementFilter)}

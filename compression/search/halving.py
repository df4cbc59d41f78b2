"""Successive halving: all candidates are scored on a few images, and only the best on all of them.

Follows successive halving (Jamieson and Talwalkar, AISTATS 2016) with two rungs, in every generation of the
search. The score on a few images ranks candidates, but its level is that of the few images. To compare it
with scores on all images, the median difference of the candidates that have both is added:

    s'(a) = s_few(a) + median_b (s_all(b) - s_few(b)).

Candidates of a search are alike, so that the choice of the few images matters. Of several random subsets,
:func:`best_subset` selects the one whose scores of the first candidates agree best with those on all images.
"""
from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..elastic.arch import Arch

SHARE = 16  # one of this many candidates of a generation is scored on all images
SUBSETS = 6  # random subsets of the images, of which one is used
ANCHORS = 12  # candidates that select it
_IMAGES_SHARE = 5  # one of this many images is among the few by default
_LEAST_IMAGES = 16
_MEANS = ("agreement", "L1", "PSNR", "SSIM", "LPIPS", "hed-vgg16")  # criteria that are means over images


def default_images(images: int, criterion: str) -> int:
    """Choose the number of images that all candidates are scored on: a fifth, or 0 for no halving.

    Args:
        images: number of all images.
        criterion: the score. Halving is the default only for means over images.
    """
    few = images // _IMAGES_SHARE
    return few if few >= _LEAST_IMAGES and criterion in _MEANS else 0


def best_subset(full: Sequence[float], few: Sequence[Sequence[float]]) -> tuple[int, float]:
    """Select the subset of images whose scores correlate best with those on all images.

    Args:
        full: scores of some candidates on all images.
        few: their scores on each subset.

    Returns:
        The index of the subset, and its coefficient of correlation (Pearson), 0 if it is not defined.
    """
    correlations = []
    for scores in few:
        spread = min(np.std(full), np.std(scores)) if len(full) > 2 else 0
        correlations.append(float(np.corrcoef(full, scores)[0, 1]) if spread > 0 else 0.0)
    best = max(range(len(few)), key=correlations.__getitem__)
    return best, correlations[best]


class Halving:
    """The scores of the candidates of one search on a few and on all images.

    Attributes:
        few: the scores on a few images.
        full: the scores on all images.
    """

    def __init__(self) -> None:
        self.few: dict[Arch, float] = {}
        self.full: dict[Arch, float] = {}

    def promoted(self, generation: Sequence[Arch]) -> list[Arch]:
        """Select the candidates of a generation that are scored on all images: the best ones on a few."""
        count = -(-len(generation) // SHARE)
        return sorted(generation, key=lambda arch: _or_worst(self.few[arch]))[:count]

    def scores(self) -> dict[Arch, float]:
        """Return the score of each candidate: on all images, or estimated from that on a few."""
        differences = [score - self.few[arch] for arch, score in self.full.items() if arch in self.few]
        differences = [difference for difference in differences if math.isfinite(difference)]
        offset = statistics.median(differences) if differences else 0.0
        return {arch: self.full.get(arch, score + offset) for arch, score in self.few.items()}

    def estimated(self, archs: Iterable[Arch]) -> list[Arch]:
        """Select the architectures whose score is only estimated."""
        return [arch for arch in archs if arch not in self.full]

    def state_dict(self) -> dict[str, list]:
        """Return the state as plain data that JSON can hold."""
        return {name: [[arch.to_json(), score] for arch, score in scores.items()]
                for name, scores in (("few", self.few), ("full", self.full))}

    def load_state_dict(self, state: Mapping[str, list]) -> None:
        """Restore the state from :meth:`state_dict`."""
        for name in ("few", "full"):
            setattr(self, name, {Arch.from_json(arch): float(score) for arch, score in state[name]})


def _or_worst(score: float) -> float:
    return score if math.isfinite(score) else math.inf

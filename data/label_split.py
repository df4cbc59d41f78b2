"""Split a training set into labeled pairs, unlabeled inputs, and those that no training step sees."""
import math
from dataclasses import dataclass

import numpy as np

_N_STRETCHES = 20  # parts of the data set with --split_by stretch


@dataclass(frozen=True)
class LabelSplit:
    """Indices of the items of a training set, each list ascending.

    Attributes:
        labeled: pairs for training.
        unlabeled: inputs for training.
        held_out_labeled: pairs on which a search or a validation compares networks. They count as labels.
        held_out_unlabeled: inputs on which a search compares networks.
    """

    labeled: list[int]
    unlabeled: list[int]
    held_out_labeled: list[int]
    held_out_unlabeled: list[int]


def split(count, labels):
    """Split `count` items into labeled and unlabeled ones, and hold out a part of both.

    The labeled items are the first ceil(ratio * count) of an order that depends only on the seed and on
    ``--split_by``. Therefore splits of the same seed are nested. The order is a random one of all items, or,
    with ``--split_by stretch``, of runs of neighboring files, each a twentieth of the data set.

    ``--search_split`` holds out the last items of the labeled ones and the last of the unlabeled ones in this
    order, rounded to the nearest number, but at least one unlabeled item of several, or if there are only
    labeled ones, at least one of those. So the labeled items for training are nested, too, and do not
    overlap with the held-out items of a larger ratio; with ``--split_by stretch``, held-out items are runs of
    neighboring files.

    Args:
        count: number of items.
        labels: the :class:`options.ugc_options.LabelSettings`.

    Returns:
        A :class:`LabelSplit`; with ``--unlabeled none`` it has no unlabeled items.

    Raises:
        ValueError: if no labeled item is left for training.
    """
    rng = np.random.default_rng((labels.seed, 2))
    if labels.split_by == "stretch":
        stretches = np.array_split(np.arange(count), min(_N_STRETCHES, count))
        order = np.concatenate([stretches[k] for k in rng.permutation(len(stretches))])
    else:
        order = rng.permutation(count)
    n_labeled = math.ceil(labels.ratio * count - 1e-9)  # in floating point, 0.07 * 100 is a little above 7
    is_all_labeled = labels.unlabeled == "none" or n_labeled == count
    labeled, held_out_labeled = _hold_out(order[:n_labeled], labels.search_split, int(is_all_labeled))
    if count and not labeled:
        raise ValueError(f"--search_split {labels.search_split:g} holds out all labeled pairs, {n_labeled} "
                         f"of {count} images with --label_ratio {labels.ratio:g}; choose a smaller one, 0 "
                         "for none, or label more images")
    if labels.unlabeled == "none":
        return LabelSplit(labeled, [], held_out_labeled, [])
    unlabeled, held_out_unlabeled = _hold_out(order[n_labeled:], labels.search_split, 1)
    return LabelSplit(labeled, unlabeled, held_out_labeled, held_out_unlabeled)


def _hold_out(items, share, least):
    """Return the items without the last ones, and a share of the last ones; both ascending.

    With a share above 0, at least `least` of several items are held out.
    """
    held_out = int(share * len(items) + 0.5 + 1e-9)  # 0.15 * 10 is a little below 1.5
    if share and len(items) > 1:
        held_out = max(held_out, least)
    first = len(items) - held_out
    return sorted(items[:first].tolist()), sorted(items[first:].tolist())

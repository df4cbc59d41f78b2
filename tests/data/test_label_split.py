"""Which images of a training set are labeled, which unlabeled, and which no training step sees."""
from collections import Counter
from dataclasses import astuple

import numpy as np
import pytest

from data.label_split import split
from options.ugc_options import LabelSettings

# the rounded tenths of 92 and 275 labeled and unlabeled items are 9 and 28
CAMVID = 367


def settings(ratio=1.0, held_out=0.1, **others):
    return LabelSettings(ratio, search_split=held_out, **others)


@pytest.mark.parametrize("held_out", [0, 0.1])
@pytest.mark.parametrize("split_by", ["random", "stretch"])
@pytest.mark.parametrize("count", [1, 7, 100, CAMVID])
def test_splits_are_nested_exact_and_disjoint(count, split_by, held_out):
    inner = trained = set()
    for ratio in (0.01, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0):
        parts = split(count, settings(ratio, held_out, seed=3, split_by=split_by))
        labels = [*parts.labeled, *parts.held_out_labeled]
        assert len(labels) == -(-int(round(ratio * 100)) * count // 100)  # rounded up, in integers
        assert sorted(index for part in astuple(parts) for index in part) == list(range(count))
        assert inner <= set(labels)
        assert trained <= set(parts.labeled)  # what a smaller share trains on is not held out by a larger one
        inner, trained = set(labels), set(parts.labeled)
        assert parts == split(count, settings(ratio, held_out, seed=3, split_by=split_by))


@pytest.mark.parametrize(("count", "ratio", "held_out", "sizes"), [
    (CAMVID, 0.25, 0.1, (83, 247, 9, 28)), (512, 0.25, 0.1, (115, 346, 13, 38)),
    (128, 1.0, 0.1, (115, 0, 13, 0)), (12, 0.25, 0.1, (3, 8, 0, 1)), (12, 1.0, 0.1, (11, 0, 1, 0)),
    (4, 1.0, 0.1, (3, 0, 1, 0)),
    (4, 0.25, 0.1, (1, 2, 0, 1)), (2, 0.5, 0.1, (1, 1, 0, 0)),
    (10, 1.0, 0.15, (8, 0, 2, 0)), (CAMVID, 0.25, 0.0, (92, 275, 0, 0)),
    (1, 1.0, 0.4, (1, 0, 0, 0))])
def test_a_tenth_of_both_parts_is_held_out(count, ratio, held_out, sizes):
    assert tuple(map(len, astuple(split(count, settings(ratio, held_out))))) == sizes


def test_nothing_left_to_train_on_is_an_error():
    with pytest.raises(ValueError, match="--search_split 0.5 holds out all labeled pairs, 1 of 4 images with "
                                         "--label_ratio 0.25; choose a smaller one"):
        split(4, settings(0.25, 0.5))


def test_the_seed_changes_the_split_and_unlabeled_none_has_no_unlabeled_items():
    parts, others = split(100, settings(0.25)), split(100, settings(0.25, seed=1))
    assert parts.labeled != others.labeled
    assert parts.held_out_labeled != others.held_out_labeled
    only_labeled = split(100, settings(0.25, unlabeled="none"))
    assert only_labeled.unlabeled == only_labeled.held_out_unlabeled == []
    assert (only_labeled.labeled, only_labeled.held_out_labeled) == (parts.labeled, parts.held_out_labeled)


def runs(indices):
    """The number of runs of consecutive numbers."""
    return 1 + int((np.diff(indices) > 1).sum())


def test_consecutive_frames_stay_in_one_part_of_the_split():
    parts = split(400, settings(0.25, held_out=0, split_by="stretch"))  # 5 of the 20 stretches of 20
    assert len(parts.labeled) == 100
    assert set(Counter(k // 20 for k in parts.labeled).values()) == {20}
    assert runs(split(400, settings(0.25)).labeled) > 40  # single images are all over the place


def test_held_out_frames_of_videos_are_runs_too():
    parts = split(400, settings(0.25, split_by="stretch"))
    assert (len(parts.held_out_labeled), len(parts.held_out_unlabeled)) == (10, 30)
    assert runs(parts.held_out_labeled) == 1  # half a stretch
    assert runs(parts.held_out_unlabeled) <= 2  # one and a half

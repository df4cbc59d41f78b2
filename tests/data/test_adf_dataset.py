"""Labeled and unlabeled items of a paired data set: splits, epochs, and targets that are never opened."""
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

import data
from data.adf_dataset import AdfDataset
from data.label_split import split
from options import ugc_options
from options.ugc_options import LabelSettings

COUNT, SIDE = 10, 16


def options(dataroot=None, **changes):
    defaults = {"dataroot": dataroot and str(dataroot), "phase": "train", "seed": 0, "isTrain": True,
                "direction": "AtoB", "input_nc": 3, "output_nc": 3, "preprocess": "none", "load_size": SIDE,
                "crop_size": SIDE, "no_flip": True, "max_dataset_size": float("inf"), "serial_batches": False,
                "batch_size": 2, "num_threads": 0, "dataset_mode": "adf",
                "base_dataset_mode": "aligned" if dataroot else "toy", "toy_train_images": COUNT,
                "toy_test_images": 4, "label_ratio": 0.3, "split_by": "random", "unlabeled": "split",
                "unlabeled_dir": None, "search_split": 0.0, "split_seed": None}
    return Namespace(**{**defaults, **changes})


def split_into_two(count, ratio):
    """The indices of labeled and of unlabeled items, none held out."""
    parts = split(count, LabelSettings(ratio))
    return parts.labeled, parts.unlabeled


def level(k, side):
    """A gray level that encodes the item and the side of an image: 10 k, plus 5 for B."""
    return 10 * k + (5 if side == "B" else 0)


def shown(tensor):
    return round((tensor.mean().item() + 1) * 127.5)


def write(path, gray, width=SIDE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, SIDE), (gray,) * 3).save(path)


@pytest.fixture
def two_folders(tmp_path):
    for k in range(COUNT):
        for side in "AB":
            write(tmp_path / f"train{side}" / f"{k}.png", level(k, side))
    return tmp_path


@pytest.fixture
def one_file(tmp_path):
    for k in range(COUNT):
        pair = Image.new("RGB", (2 * SIDE, SIDE), (level(k, "A"),) * 3)
        pair.paste((level(k, "B"),) * 3, (SIDE, 0, 2 * SIDE, SIDE))
        (tmp_path / "train").mkdir(exist_ok=True)
        pair.save(tmp_path / "train" / f"{k}.png")
    return tmp_path


# ---- items

@pytest.mark.parametrize("layout", ["two_folders", "one_file"])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_items_hold_input_target_and_an_unlabeled_input(layout, direction, request):
    dataset = AdfDataset(options(request.getfixturevalue(layout), direction=direction))
    source = direction[0]
    labeled, unlabeled = split_into_two(COUNT, 0.3)
    assert len(dataset) == 7  # the larger set
    for i in range(len(dataset)):
        item = dataset[i]
        assert set(item) == {"A", "B", "A_paths", "B_paths", "unlabeled", "unlabeled_paths"}
        k = shown(item["A"]) // 10
        assert k in labeled
        assert shown(item["A"]) == level(k, "A")
        assert shown(item["B"]) == level(k, "B")
        u = shown(item["unlabeled"]) // 10
        assert u in unlabeled
        assert shown(item["unlabeled"]) == level(u, source)
        assert item["unlabeled_paths"].endswith(f"{u}.png")


def test_an_epoch_passes_over_both_sets(two_folders):
    dataset = AdfDataset(options(two_folders))
    def epoch():
        items = [dataset[i] for i in range(len(dataset))]
        return [shown(i["A"]) for i in items], [shown(i["unlabeled"]) for i in items]

    dataset.set_epoch(1)
    labeled, unlabeled = first = epoch()
    assert len(set(unlabeled)) == 7
    assert sorted(Counter(labeled).values()) == [2, 2, 3]
    assert len(set(labeled[:3])) == len(set(labeled[3:6])) == 3  # every pass is complete
    dataset.set_epoch(2)
    assert epoch() != first
    dataset.set_epoch(1)
    assert epoch() == first


def test_each_pass_over_the_labeled_pairs_has_new_augmentations(tmp_path):
    ramp = np.arange(64, dtype=np.uint8)
    image = np.stack(np.broadcast_arrays(4 * ramp[:, None], 4 * ramp, np.uint8(0)), -1)
    for k in range(COUNT):
        for side in "AB":
            (tmp_path / f"train{side}").mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / f"train{side}" / f"{k}.png")
    opt = options(tmp_path, label_ratio=0.1, preprocess="crop", no_flip=False)
    dataset = AdfDataset(opt)
    crops = [dataset[i]["A"].numpy().tobytes() for i in range(len(dataset))]  # 9 passes over one pair
    assert len(crops) == 9
    assert len(set(crops)) >= 8
    assert crops == [AdfDataset(opt)[i]["A"].numpy().tobytes() for i in range(len(dataset))]
    assert dataset[0]["A"].numpy().tobytes() == dataset.base[dataset.labeled[0]]["A"].numpy().tobytes()


def test_serial_batches_keep_the_order(two_folders):
    dataset = AdfDataset(options(two_folders, serial_batches=True))
    assert [shown(dataset[i]["A"]) for i in range(3)] == [10 * k for k in split_into_two(COUNT, 0.3)[0]]


@pytest.mark.parametrize(("changes", "length"), [({"label_ratio": 1.0}, COUNT), ({"unlabeled": "none"}, 3)])
def test_items_without_unlabeled_inputs_hold_only_the_pair(two_folders, changes, length):
    dataset = AdfDataset(options(two_folders, **changes))
    assert len(dataset) == length
    assert set(dataset[0]) == {"A", "B", "A_paths", "B_paths"}


def test_outside_training_all_pairs_are_served_in_order(two_folders):
    dataset = AdfDataset(options(two_folders, isTrain=False, label_ratio=0.1))
    assert [shown(dataset[i]["A"]) for i in range(len(dataset))] == [level(k, "A") for k in range(COUNT)]
    assert "unlabeled" not in dataset[0]


def test_unlabeled_inputs_come_from_unlabeled_dir(two_folders, tmp_path):
    for k in range(4):
        write(tmp_path / "more" / f"extra_{k}.png", 200 + 10 * k)
    for ratio, expected in ((1.0, 4), (0.3, 11)):
        for direction in ("AtoB", "BtoA"):
            dataset = AdfDataset(options(two_folders, label_ratio=ratio, unlabeled_dir=str(tmp_path / "more"),
                                         direction=direction))
            dataset.check()
            seen = {shown(dataset[i]["unlabeled"]) for i in range(len(dataset))}
            assert len(seen) == expected
            assert {200, 210, 220, 230} <= seen


# ---- targets of unlabeled inputs

def test_targets_of_unlabeled_items_are_never_opened(two_folders):
    labeled, unlabeled = split_into_two(COUNT, 0.3)
    for k in unlabeled:
        (two_folders / "trainB" / f"{k}.png").write_bytes(b"unreadable")
    loader = data.create_dataset(options(two_folders))  # checks the files, too
    seen = set()
    for epoch in (1, 2):
        loader.set_epoch(epoch)
        for batch in loader:
            assert torch.isfinite(batch["B"]).all()
            seen |= {shown(image) // 10 for image in batch["unlabeled"]}
    assert seen == set(unlabeled)
    (two_folders / "trainB" / f"{labeled[0]}.png").write_bytes(b"unreadable")
    with pytest.raises(ValueError, match=f"trainB.{labeled[0]}.png"):
        data.create_dataset(options(two_folders))


def test_unreadable_unlabeled_inputs_are_reported(two_folders):
    k = split_into_two(COUNT, 0.3)[1][0]
    (two_folders / "trainA" / f"{k}.png").write_bytes(b"unreadable")
    with pytest.raises(ValueError, match=f"trainA.{k}.png"):
        data.create_dataset(options(two_folders))


def test_a_base_data_set_of_upstream_can_be_wrapped(two_folders, monkeypatch):
    """Without input_item, check and set_epoch: pairs are loaded and the target is dropped."""
    class Upstream:
        def __init__(self, opt):
            pass

        def __len__(self):
            return COUNT

        def __getitem__(self, index):
            return {side: torch.full((3, 4, 4), level(index, side) / 127.5 - 1) for side in "AB"} | {
                "A_paths": f"{index}.png", "B_paths": f"{index}.png"}

    monkeypatch.setattr("data.adf_dataset.find_dataset_using_name", lambda name: Upstream)
    dataset = AdfDataset(options(two_folders))
    dataset.check()
    assert {shown(dataset[i]["unlabeled"]) // 10
            for i in range(7)} == set(split_into_two(COUNT, 0.3)[1])


# ---- user errors

@pytest.mark.parametrize(("changes", "message"), [
    ({"label_ratio": 0.0}, "--label_ratio must be above 0 and at most 1, got 0.0"),
    ({"label_ratio": 1.5}, "--label_ratio must be above 0 and at most 1, got 1.5"),
    ({"base_dataset_mode": "single"}, "--base_dataset_mode single has no pairs"),
    ({"base_dataset_mode": "adf"}, "--base_dataset_mode adf has no pairs"),
    ({"unlabeled_dir": "/nowhere/at_all"}, "--unlabeled_dir: /nowhere/at_all is not a folder"),
])
def test_invalid_values_name_their_flag(two_folders, changes, message):
    with pytest.raises(ValueError, match=message):
        AdfDataset(options(two_folders, **changes))


def test_an_empty_unlabeled_dir_is_refused(two_folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="--unlabeled_dir.*empty"):
        AdfDataset(options(two_folders, unlabeled_dir=str(tmp_path / "empty")))


# ---- options

@pytest.mark.parametrize(("arguments", "mode"),
                         [([], "toy"), (["--dataroot", "D"], "aligned"),
                          (["--dataroot", "D", "--base_dataset_mode", "toy"], "toy")])
def test_the_base_data_set_is_chosen_by_flags(monkeypatch, arguments, mode):
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    parser = ArgumentParser()
    parser.add_argument("--dataroot")
    parser.add_argument("--name", default="experiment_name")
    parser.add_argument("--suffix", default="")
    parser.add_argument("--continue_train", action="store_true")
    parser.add_argument("--checkpoints_dir", default="./checkpoints")
    parser.add_argument("--crop_size", type=int, default=256)
    opt = AdfDataset.modify_commandline_options(parser, True).parse_args()
    assert opt.base_dataset_mode == mode
    assert opt.label_ratio == (0.25 if mode == "toy" else 1.0)
    assert (opt.crop_size == 64, hasattr(opt, "toy_train_images")) == (mode == "toy",) * 2
    assert ugc_options.labels_from(opt).seed == 0

"""The toy data set is deterministic and fast, its splits differ, and photos follow from label maps."""
import time
from argparse import ArgumentParser, Namespace
from dataclasses import replace

import numpy as np
import pytest
import torch

from data import toy_world
from data.toy_dataset import ToyDataset
from data.toy_scene import random_scene


def options(**changes):
    return Namespace(**{**{"dataroot": None, "phase": "train", "seed": 0, "crop_size": 64, "load_size": 64,
                           "preprocess": "resize_and_crop", "input_nc": 3, "output_nc": 3,
                           "direction": "AtoB", "max_dataset_size": float("inf"), "no_flip": False,
                           "toy_train_images": 12, "toy_test_images": 5, "isTrain": True}, **changes})


def test_items_hold_images_of_the_crop_size():
    dataset = ToyDataset(options())
    assert len(dataset) == 12
    assert len(ToyDataset(options(phase="val"))) == 5
    assert len(ToyDataset(options(max_dataset_size=7))) == 7
    item = dataset[3]
    assert item["A"].shape == item["B"].shape == (3, 64, 64)
    assert item["A"].dtype == torch.float32
    assert item["A"].min() >= -1
    assert item["B"].max() <= 1
    assert item["A_paths"] == item["B_paths"] == "toy_train_00003.png"
    with pytest.raises(IndexError):
        dataset[12]


def test_items_are_a_function_of_seed_phase_and_index():
    first, second = ToyDataset(options()), ToyDataset(options())
    assert torch.equal(first[5]["B"], second[5]["B"])
    assert torch.equal(first[5]["A"], second[5]["A"])
    others = [first[4], ToyDataset(options(seed=1))[5], ToyDataset(options(phase="val"))[4]]
    assert all(not torch.equal(first[5]["A"], other["A"]) for other in others)
    longer = ToyDataset(options(toy_train_images=40))
    assert torch.equal(first[5]["A"], longer[5]["A"])


@pytest.mark.parametrize("flags", [{}, {"label_nc": 12, "no_instance": False}], ids=["colors", "ids"])
def test_flips_mirror_input_and_target_in_about_half_of_the_passes(flags):
    dataset, upright = ToyDataset(options(**flags)), ToyDataset(options(no_flip=True, **flags))
    flipped = []
    for epoch in range(1, 5):
        dataset.set_epoch(epoch)
        for index in range(8):
            item, original = dataset[index], upright[index]
            is_flipped = not torch.equal(item["B"], original["B"])
            for side in "AB":
                expected = original[side].flip(-1) if is_flipped else original[side]
                assert torch.equal(item[side], expected)
            assert torch.equal(dataset.input_item(index)["A"], item["A"])
            flipped.append(is_flipped)
    assert 8 < sum(flipped) < 24


def test_rendered_images_are_kept_if_they_are_small(monkeypatch):
    dataset, first = ToyDataset(options()), ToyDataset(options())[2]["B"]
    calls = []
    photo = toy_world.photo
    monkeypatch.setattr("data.toy_dataset.photo", lambda *scene: calls.append(1) or photo(*scene))
    for _ in range(3):
        dataset[2]["B"].zero_()  # no part of what is kept
    assert torch.equal(dataset[2]["B"], first)
    assert len(calls) == 1
    monkeypatch.setattr("data.cache.free_memory", lambda device: 4 * 3 * 64 * 64 - 1)
    large = ToyDataset(options())
    assert torch.equal(large[2]["B"], large[2]["B"])
    assert len(calls) == 3


def test_the_label_image_shows_the_classes_in_their_colors():
    dataset = ToyDataset(options())
    ids, image = dataset.label_ids(2), dataset[2]["A"]
    assert ids.shape == (64, 64)
    assert ids.dtype == torch.long
    table = torch.tensor([color for _, color in toy_world.CLASSES]) / 127.5 - 1
    assert torch.allclose(image, table[ids].permute(2, 0, 1), atol=1e-6)
    seen = set(torch.cat([dataset.label_ids(i) for i in range(len(dataset))]).unique().tolist())
    assert seen == set(range(len(toy_world.CLASSES)))  # every class occurs


def test_input_item_renders_only_the_input(monkeypatch):
    monkeypatch.setattr("data.toy_dataset.photo", lambda *_: pytest.fail("the target was made"))
    dataset = ToyDataset(options())
    assert sorted(dataset.input_item(1)) == ["A", "A_paths"]
    monkeypatch.undo()
    reverse = ToyDataset(options(direction="BtoA"))
    assert torch.equal(reverse.input_item(1)["B"], dataset[1]["B"])


def test_channels_and_sizes_follow_the_flags():
    item = ToyDataset(options(input_nc=1, load_size=128, crop_size=128))[0]
    assert item["A"].shape == (1, 128, 128)
    assert item["B"].shape == (3, 128, 128)
    item = ToyDataset(options(input_nc=1, direction="BtoA"))[0]
    assert item["A"].shape[0] == 3
    assert item["B"].shape[0] == 1
    with pytest.raises(ValueError, match="--input_nc 4"):
        ToyDataset(options(input_nc=4))
    with pytest.raises(ValueError, match="--toy_train_images"):
        ToyDataset(options(toy_train_images=0))


def test_the_sun_lights_the_photo():
    """A low sun makes the same landscape warmer (red over blue), and roofs are lit on its side."""
    scene = random_scene(np.random.default_rng(0))
    scene = replace(scene, clouds=(), objects=(("house", 0.5, scene.horizon + 0.25, 0.4),), road=None)
    redness = []
    for y in (0.08, scene.horizon - 0.23):
        image = toy_world.photo(replace(scene, sun=(0.1, y)), 64).astype(float)
        redness.append(image[..., 0].mean() - image[..., 2].mean())
    assert redness[1] > redness[0] + 20
    roofs = {}
    for x in (0.1, 0.9):
        lit = replace(scene, sun=(x, 0.15))
        roof = toy_world.label_map(lit, 64) == toy_world.IDS["roof"]
        image, left = toy_world.photo(lit, 64).mean(-1), np.arange(64)[None] < 32
        roofs[x] = image[roof & left].mean() - image[roof & ~left].mean()
    assert roofs[0.1] > 20
    assert roofs[0.9] < -20


def test_a_class_keeps_its_color():
    """Grass is green and the sky is not, wherever they are: the label map determines the photo."""
    dataset = ToyDataset(options())
    for i in range(len(dataset)):
        photo, ids = dataset[i]["B"], dataset.label_ids(i)
        grass = photo[:, ids == toy_world.IDS["grass"]].mean(1)
        sky = photo[:, ids == toy_world.IDS["sky"]].mean(1)
        assert grass[1] > grass[0]
        assert grass[1] > grass[2]
        assert sky[2] > grass[2]


def test_rendering_an_item_takes_less_than_20_ms_of_processor_time():
    dataset = ToyDataset(options())
    dataset[0]
    times = []
    for i in range(12):
        start = time.process_time()
        dataset[i]
        times.append(time.process_time() - start)
    assert min(times) < 0.02  # about 4 ms on an idle core


def test_flags_override_the_defaults_of_the_toy_data_set():
    def parse(arguments, is_train=True):
        parser = ArgumentParser()
        for flag, default in (("--crop_size", 256), ("--ngf", 64), ("--batch_size", 1)):
            parser.add_argument(flag, type=int, default=default)
        return ToyDataset.modify_commandline_options(parser, is_train).parse_args(arguments)

    opt = parse(["--ngf", "32"])
    assert (opt.crop_size, opt.ngf, opt.toy_train_images) == (64, 32, 512)
    assert opt.batch_size > 1
    assert not hasattr(opt, "n_epochs")  # no flag, no default

"""Paired and single image data sets: layouts, crops and flips, and messages about bad files."""
import numpy as np
import pytest
import torch
from PIL import Image

from data import create_dataset, find_dataset_using_name
from data.aligned_dataset import AlignedDataset
from data.single_dataset import SingleDataset
from data_options import data_options


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def gradient(height, width, channel):
    """An image whose pixels encode their position: rows in one channel, columns in the next."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., channel] = np.arange(height)[:, None] * 4
    image[..., (channel + 1) % 3] = np.arange(width) * 4
    return image


@pytest.fixture
def pairs(tmp_path):
    """Three pair files, A left and B right, 16x16 each."""
    for i in range(3):
        save(tmp_path / "train" / f"{i}.png", np.hstack([gradient(16, 16, 0), gradient(16, 16, 1)])
             + np.uint8(i))
    return tmp_path


def as_bytes(tensor):
    return np.round((tensor.numpy().transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)


def test_a_pair_file_is_cut_in_its_middle(pairs):
    item = AlignedDataset(data_options(pairs))[1]
    assert np.array_equal(as_bytes(item["A"]), gradient(16, 16, 0) + 1)
    assert np.array_equal(as_bytes(item["B"]), gradient(16, 16, 1) + 1)
    assert item["A_paths"] == item["B_paths"] == str(pairs / "train" / "1.png")


def test_two_folders_are_paired_by_stem(tmp_path):
    for stem in ("b", "a"):
        save(tmp_path / "trainA" / f"{stem}.png", gradient(8, 8, 0) + np.uint8(ord(stem)))
        save(tmp_path / "trainB" / f"{stem}.bmp", gradient(8, 8, 1) + np.uint8(ord(stem)))
    dataset = AlignedDataset(data_options(tmp_path))
    assert len(dataset) == 2
    assert np.array_equal(as_bytes(dataset[0]["A"]), gradient(8, 8, 0) + ord("a"))
    assert np.array_equal(as_bytes(dataset[0]["B"]), gradient(8, 8, 1) + ord("a"))
    save(tmp_path / "trainA" / "single.png", gradient(8, 8, 0))
    with pytest.raises(ValueError, match="1 files .* no partner of equal stem: single"):
        AlignedDataset(data_options(tmp_path))


@pytest.mark.parametrize(("preprocess", "shape"), [("resize_and_crop", (16, 16)), ("crop", (16, 16)),
                                                   ("none", (20, 24)), ("scale_width", (17, 20)),
                                                   ("scale_width_and_crop", (16, 16))])
def test_preprocess_has_upstreams_meaning(tmp_path, preprocess, shape):
    # none: rounded to multiples of 4; scale_width: 20 * 21 / 24 = 17.5
    save(tmp_path / "x.png", gradient(21, 24, 0))
    dataset = SingleDataset(data_options(tmp_path, preprocess=preprocess, load_size=20))
    assert tuple(dataset[0]["A"].shape[1:]) == shape


@pytest.mark.parametrize("seed", range(8))
def test_both_sides_have_the_same_crop_and_flip(tmp_path, seed):
    image = gradient(32, 32, 0)
    save(tmp_path / "train" / "x.png", np.hstack([image, image]))
    dataset = AlignedDataset(data_options(tmp_path, preprocess="crop", no_flip=False, seed=seed))
    item = dataset[0]
    assert torch.equal(item["A"], item["B"])
    cropped = as_bytes(item["A"])
    left = int(cropped[0, :, 1].min()) // 4
    top = int(cropped[0, 0, 0]) // 4
    expected = image[top:top + 16, left:left + 16]
    flipped = cropped[0, 0, 1] > cropped[0, -1, 1]
    assert np.array_equal(cropped, expected[:, ::-1] if flipped else expected)


def test_augmentation_differs_between_epochs_and_repeats_with_the_seed(tmp_path):
    save(tmp_path / "train" / "x.png", np.hstack([gradient(60, 60, 0)] * 2))
    opt = data_options(tmp_path, preprocess="crop", no_flip=False)
    first, second = AlignedDataset(opt), AlignedDataset(opt)
    epochs = []
    for epoch in range(6):
        first.set_epoch(epoch), second.set_epoch(epoch)
        assert torch.equal(first[0]["A"], second[0]["A"])
        epochs.append(first[0]["A"].numpy().tobytes())
    assert len(set(epochs)) > 3


@pytest.mark.parametrize(("direction", "shapes"),
                         [("AtoB", ((1, 16, 16), (3, 16, 16))), ("BtoA", ((3, 16, 16), (1, 16, 16)))])
def test_gray_inputs_follow_the_direction(pairs, direction, shapes):
    item = AlignedDataset(data_options(pairs, direction=direction, input_nc=1))[0]
    assert (tuple(item["A"].shape), tuple(item["B"].shape)) == shapes


def test_files_are_listed_recursively_sorted_and_limited(tmp_path):
    for name in ("b/2.JPG", "a/9.png", "a/1.tiff", "c.txt.png", "notes.txt"):
        if name.endswith(".txt"):
            (tmp_path / name).write_text("no image")
        else:
            save(tmp_path / name, gradient(8, 8, 0))
    names = [p[len(str(tmp_path)) + 1:] for p in SingleDataset(data_options(tmp_path)).A_paths]
    assert names == ["a/1.tiff", "a/9.png", "b/2.JPG", "c.txt.png"]
    assert len(SingleDataset(data_options(tmp_path, max_dataset_size=2))) == 2


def test_the_loader_batches_shuffles_by_seed_and_epoch_and_keeps_the_last(pairs):
    def order(epoch, **changes):
        loader = create_dataset(data_options(pairs, serial_batches=False, **changes))
        loader.set_epoch(epoch)
        return [tuple(batch["A_paths"]) for batch in loader]

    assert [len(batch) for batch in order(0)] == [2, 1]
    assert order(0) == order(0)
    assert len({str(order(e)) for e in range(8)}) > 1
    assert len(create_dataset(data_options(pairs, max_dataset_size=2))) == 2


def test_all_unusable_images_are_listed(pairs):
    save(pairs / "train" / "odd.png", gradient(8, 7, 0))
    (pairs / "train" / "text.png").write_text("this is no image")
    (pairs / "train" / "empty.png").write_bytes(b"")
    whole = (pairs / "train" / "0.png").read_bytes()
    (pairs / "train" / "cut.png").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(ValueError, match="^4 of 7 images are unusable") as error:
        create_dataset(data_options(pairs))
    message = str(error.value)
    assert "odd.png: a pair image has an even width, got 7x8" in message
    for name in ("text.png", "empty.png", "cut.png"):
        assert f"{name}: cannot be read as an image" in message
    assert "1.png" not in message
    assert "\n" not in message


def test_unusable_single_images_are_listed(tmp_path):
    save(tmp_path / "good.png", gradient(8, 8, 0))
    (tmp_path / "bad.png").write_text("this is no image")
    with pytest.raises(ValueError, match="1 of 2 images are unusable: .*bad.png: cannot be read"):
        create_dataset(data_options(tmp_path, dataset_mode="single"))


@pytest.mark.parametrize(("changes", "message"), [
    ({"dataroot": None}, "needs --dataroot"),
    ({"dataroot": "/nonexistent"}, "--dataroot: /nonexistent is not a folder"),
    ({"phase": "val"}, "val is not a folder; folders in .*: empty, train"),
    ({"phase": "empty"}, "holds no image"),
    ({"preprocess": "zoom"}, "--preprocess zoom is unknown, known: resize_and_crop"),
    ({"preprocess": "resize_and_crop", "load_size": 8}, "--load_size 8 must be at least --crop_size 16"),
])
def test_wrong_data_roots_and_settings_are_refused(pairs, changes, message):
    (pairs / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        AlignedDataset(data_options(pairs, **changes))


def test_an_image_smaller_than_the_crop_is_named(tmp_path):
    save(tmp_path / "x.png", gradient(8, 8, 0))
    with pytest.raises(ValueError, match="8x8 is smaller than --crop_size 16"):
        SingleDataset(data_options(tmp_path, preprocess="crop"))[0]


def test_an_unknown_data_set_lists_the_known():
    with pytest.raises(ValueError, match="--dataset_mode pairs is unknown, known: adf, aligned"):
        find_dataset_using_name("pairs")

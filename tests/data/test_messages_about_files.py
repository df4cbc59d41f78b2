"""Messages about the files of a data set: equal reasons once, names, remedies, and other ways."""
from argparse import Namespace

import pytest
from PIL import Image

from data.aligned_dataset import AlignedDataset
from data.check import check_images
from data.ids import require_equal_sizes
from data.image_folder import make_dataset
from data.label_dataset import LabelDataset
from data_options import data_options


def write(path, size=(8, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)
    return str(path)


def test_an_equal_reason_is_given_once_with_a_few_files(tmp_path):
    small = [write(tmp_path / f"{i:02}.png") for i in range(13)]
    empty = tmp_path / "z.png"
    empty.write_bytes(b"")
    paths = [*small, str(empty)]

    def message(**settings):
        with pytest.raises(ValueError, match="images are unusable") as error:
            check_images(paths, lambda path, size: "too small", **settings)
        return str(error.value)

    first = ", ".join(small[:5])
    assert message() == (f"14 of 14 images are unusable: too small (13 files: {first} and 8 more); {empty}: "
                         "cannot be read as an image (it is empty); --check_data lists all")
    assert message(full=True) == (f"14 of 14 images are unusable: too small (13 files: {', '.join(small)}); "
                                  f"{empty}: cannot be read as an image (it is empty)")


def test_few_different_reasons_are_given(tmp_path):
    paths = [write(tmp_path / f"{i}.png") for i in range(7)]
    with pytest.raises(ValueError, match="images are unusable") as error:
        check_images(paths, lambda path, size: f"reason {path[-5]}")
    assert str(error.value).count(": reason ") == 5
    assert str(error.value).endswith("4.png: reason 4 and 2 more; --check_data lists all")


def test_pairs_and_maps_of_other_sizes_come_with_a_remedy(tmp_path):
    write(tmp_path / "trainA/a.png")
    write(tmp_path / "trainB/a.png", (8, 16))
    with pytest.raises(ValueError, match=r"a.png is 8x8, .*a.png is 8x16; scale one of both, or let "
                                         "--preprocess resize_and_crop scale both"):
        AlignedDataset(data_options(tmp_path, preprocess="none")).check()
    with pytest.raises(ValueError, match="a is 1x2, b is 2x2; scale the photos to the size of the maps,"):
        require_equal_sizes([("a", "b")], {"a": (1, 2), "b": (2, 2)})


@pytest.mark.parametrize(("root", "end"), [
    ("mine/train", "mine/train has the images of a phase: did you mean --dataroot .*mine[?]$"),
    ("photos", "photos has images, but no folder of a phase: put pairs into .*photos/train$"),
    ("", "folders in .*: mine, photos; --dataroot is the folder of one data set, such as .*mine$"),
    ("mine/val", "mine/val has the images of a phase: did you mean --dataroot .*mine[?]$")])
def test_a_wrong_dataroot_is_answered_with_the_right_one(tmp_path, root, end):
    for name in ("mine/train/1.png", "mine/val/1.png", "photos/1.png"):
        write(tmp_path / name)
    with pytest.raises(ValueError, match=f"train is not a folder; .*{end}"):
        make_dataset(str(tmp_path / root / "train"))


def label_options(root, **changes):
    settings = {"dataset_mode": "label", "label_nc": 3, "no_instance": True, "label_dir": None,
                "image_dir": None, "instance_dir": None, "no_pairing_check": False, "name": None,
                "contain_dontcare_label": False, "phase": "test", "isTrain": False}
    return Namespace(**{**vars(data_options(root)), **settings, **changes})


def test_test_py_says_how_label_maps_without_photos_are_translated(tmp_path):
    for i in range(13):
        write(tmp_path / f"test_label/{i}.png", mode="L")
    hint = "test.py --input FOLDER translates label maps without photos$"
    with pytest.raises(ValueError, match=f"test_img is not a folder; folders in .*: test_label; .*{hint}"):
        LabelDataset(label_options(tmp_path, input=None))
    with pytest.raises(ValueError, match="folders in .*: test_label; --phase .* selects one$"):
        LabelDataset(label_options(tmp_path))
    with pytest.raises(ValueError, match=f"--label_dir needs --image_dir, .*; {hint}"):
        LabelDataset(label_options(None, label_dir=str(tmp_path / "test_label"), input=None))
    for i in range(12):
        write(tmp_path / f"test_img/{i}.png")
    with pytest.raises(ValueError, match="of 13 label maps and 12 photos, 1 have no partner of their name: "
                                         f".*test_label/12.png. .*; {hint}"):
        LabelDataset(label_options(tmp_path, input=None))

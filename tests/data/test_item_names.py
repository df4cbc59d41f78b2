"""Names of items, their partners in other folders, and the phases of a data set."""
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.aligned_dataset import AlignedDataset
from data.item_names import files_by_name, find_partners
from data.label_files import label_files
from data.single_dataset import SingleDataset
from data_options import data_options

CITY = "town_000000_000019"


def write(path, value=0, shape=(8, 8, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


@pytest.mark.parametrize("name", ["clip.0000", "a.1", "d.1.2", "x#1", "q?", "50%25", "a b", "über", "5²0",
                                  "clip0/f0"])
def test_the_name_is_the_path_without_extension(name):
    assert files_by_name([f"/data/{name}.PNG"], "/data", "--dataroot") == {name: Path(f"/data/{name}.PNG")}


@pytest.mark.parametrize(("names", "candidates", "expected"), [
    (["a", "b"], ["b", "a", "c"], {"a": "a", "b": "b"}),
    (["clip.0", "clip.1"], ["clip.1", "clip.0"], {"clip.0": "clip.0", "clip.1": "clip.1"}),
    (["c0/f", "c1/f"], ["c1/f", "c0/f"], {"c0/f": "c0/f", "c1/f": "c1/f"}),
    (["c0/f", "c1/f"], ["val/c0/f", "val/c1/f"], {"c0/f": "val/c0/f", "c1/f": "val/c1/f"}),
    (["bonn/x_gtFine_labelIds"], ["x_leftImg8bit"], {"bonn/x_gtFine_labelIds": "x_leftImg8bit"}),
    (["c0/f"], ["c1/f"], {}),
    (["f"], ["f", "c1/f"], {"f": "f"}),
    (["u\u0308"], ["\u00fc"], {"u\u0308": "\u00fc"})])
def test_partners_have_the_same_name_or_one_is_the_other_in_a_sub_folder(names, candidates, expected):
    assert find_partners(names, candidates, "--labels") == expected


@pytest.mark.parametrize(("names", "candidates", "message"), [
    (["f"], ["c0/f", "c1/f"], r"--labels: the file is not clear for 1 names: f \(c0/f, c1/f\)"),
    (["c0/f", "c1/f"], ["f"], r"c0/f, c1/f \(f\)")])
def test_unclear_partners_are_refused(names, candidates, message):
    with pytest.raises(ValueError, match=message):
        find_partners(names, candidates, "--labels")


def test_files_that_differ_only_in_their_extension_are_refused(tmp_path):
    for name in ("p0.png", "p0.jpg"):
        write(tmp_path / "val" / name)
    dataset = AlignedDataset(data_options(tmp_path, phase="val"))
    with pytest.raises(ValueError, match=r"1 names belong to several files.*p0.jpg, p0.png in .*val; rename"):
        dataset.item_names()


def test_two_folders_are_paired_by_their_sub_folders(tmp_path):
    for clip in (0, 1):
        for side, offset in (("A", 0), ("B", 100)):
            write(tmp_path / f"train_{side}/clip{clip}/f0.png", clip + offset)
    dataset = AlignedDataset(data_options(tmp_path))
    values = [[round((float(item[side].mean()) + 1) * 127.5) for side in "AB"]
              for item in (dataset[i] for i in range(2))]
    assert values == [[0, 100], [1, 101]]
    assert dataset.item_names() == ["clip0/f0", "clip1/f0"]


def test_single_images_of_a_data_set_are_those_of_the_phase(tmp_path):
    for folder, count in (("train_A", 3), ("train_B", 3), ("val_A", 2), ("val_B", 2)):
        for i in range(count):
            write(tmp_path / folder / f"{i}.png")

    def paths(**changes):
        dataset = SingleDataset(data_options(tmp_path, dataset_mode="single", **changes))
        return [str(Path(path).relative_to(tmp_path)) for path in dataset.A_paths]

    assert paths(phase="val") == ["val_A/0.png", "val_A/1.png"]
    assert paths(phase="val", direction="BtoA") == ["val_B/0.png", "val_B/1.png"]
    with pytest.raises(ValueError, match="no images of --phase vall .*its phases: train, val"):
        paths(phase="vall")


@pytest.mark.parametrize("folders", [("cats", "dogs"), ("train", "bus"), ("city0", "city1")])
def test_a_plain_folder_with_sub_folders_has_no_phases(tmp_path, folders):
    for folder in folders:
        write(tmp_path / folder / "0.png")
    dataset = SingleDataset(data_options(tmp_path, dataset_mode="single", phase="test"))
    assert dataset.item_names() == [f"{folder}/0" for folder in sorted(folders)]


def test_of_the_files_of_cityscapes_the_label_ids_are_used(tmp_path, capsys):
    kinds = ("color", "instanceIds", "labelIds", "labelTrainIds")
    for kind in kinds:
        write(tmp_path / "gtFine/val/town" / f"{CITY}_gtFine_{kind}.png")
        write(tmp_path / "gtFine/train/town" / f"{CITY}_gtFine_{kind}.png")
    for root in (tmp_path, tmp_path / "gtFine", tmp_path / "gtFine/val"):
        _, paths = label_files(root, "val")
        assert paths == [str(tmp_path / "gtFine/val/town" / f"{CITY}_gtFine_labelIds.png")]
        assert "uses the 1 labelIds files, not the others of Cityscapes" in capsys.readouterr().out
    for kind in ("labelIds", "color", "instanceIds"):
        (tmp_path / "gtFine/val/town" / f"{CITY}_gtFine_{kind}.png").unlink()
    with pytest.raises(ValueError, match="holds no labelIds files of Cityscapes, but 1 labelTrainIds"):
        label_files(tmp_path, "val")

"""Label maps with photos in all layouts of pix2pixHD and SPADE, and messages about bad files."""
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from data.adf_dataset import AdfDataset
from data.held_out import held_out
from data.label_dataset import LabelDataset

CITY = "aachen_000000_000019"


def options(**changes):
    """Return what the data set reads of the options, with changes."""
    defaults = {"dataroot": None, "label_dir": None, "image_dir": None, "instance_dir": None,
                "phase": "train", "direction": "AtoB", "output_nc": 3, "input_nc": 3, "label_nc": 5,
                "contain_dontcare_label": False, "no_instance": False, "isTrain": True, "preprocess": "none",
                "load_size": 16, "crop_size": 16, "aspect_ratio": 1.0, "no_flip": True, "seed": 0,
                "max_dataset_size": float("inf"), "no_pairing_check": False}
    return SimpleNamespace(**{**defaults, **{k: str(v) if k.endswith(("dir", "root")) and v else v
                                             for k, v in changes.items()}})


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def label(i, size=(16, 24), dtype=np.uint8):
    array = np.zeros(size, dtype)
    array[4:, 5:] = i
    return array


def photo(i, size=(16, 24)):
    return np.full((*size, 3), 10 * i, np.uint8)


def folders(root, phase="train", instances=True, count=3):
    for i in range(count):
        save(root / f"{phase}_label" / f"{i}.png", label(i))
        save(root / f"{phase}_img" / f"{i}.png", photo(i))
        if instances:
            save(root / f"{phase}_inst" / f"{i}.png", label(i).astype(np.uint16) * 20_000)
    return options(dataroot=root)


def custom(root):
    folders(root)
    return options(label_dir=root / "train_label", image_dir=root / "train_img",
                   instance_dir=root / "train_inst")


def cityscapes(root):
    for split in ("train", "val"):
        for i in range(3):
            name = f"aachen_{i:06d}_000019"
            save(root / "gtFine" / split / "aachen" / f"{name}_gtFine_labelIds.png", label(i))
            save(root / "gtFine" / split / "aachen" / f"{name}_gtFine_instanceIds.png",
                 label(i).astype(np.uint16) * 20_000)
            save(root / "gtFine" / split / "aachen" / f"{name}_gtFine_color.png", photo(i))
            save(root / "leftImg8bit" / split / "aachen" / f"{name}_leftImg8bit.png", photo(i))
    return options(dataroot=root)


def test_camvid_items_hold_ids_and_photos(tmp_path):
    for i in range(2):
        save(tmp_path / "trainannot" / f"{i}.png", label(i))
        save(tmp_path / "train" / f"{i}.png", photo(i))
    dataset = LabelDataset(options(dataroot=tmp_path, no_instance=True))
    dataset.check()
    assert len(dataset) == 2
    assert np.array_equal(dataset[1]["A"], label(1)[None])


@pytest.mark.parametrize("make", [folders, custom, cityscapes])
def test_folder_layouts_are_detected(make, tmp_path):
    dataset = LabelDataset(make(tmp_path))
    dataset.check()
    assert len(dataset) == 3
    for i in range(3):
        item = dataset[i]
        assert item["A"].dtype == torch.int32
        assert item["A"].shape == (2, 16, 24)
        assert np.array_equal(item["A"][0], label(i))
        assert np.array_equal(item["A"][1], label(i).astype(np.int32) * 20_000)  # 16 bits, no sign
        assert item["B"].shape == (3, 16, 24)
        assert (item["B"][0, 0, 0] + 1) * 127.5 == pytest.approx(10 * i, abs=1e-4)
        assert torch.equal(dataset.input_item(i)["A"], item["A"])


def test_cityscapes_tests_on_its_validation_split(tmp_path):
    assert "/val/" in LabelDataset(options(dataroot=cityscapes(tmp_path).dataroot,
                                           phase="test"))[0]["A_paths"]


def test_ade20k_counts_classes_from_one(tmp_path):
    for i in range(2):
        save(tmp_path / "training" / f"ADE_train_{i:08d}.png", label(3))
        save(tmp_path / "training" / f"ADE_train_{i:08d}.jpg", photo(i))
        save(tmp_path / "validation" / f"ADE_val_{i:08d}.png", label(3))
    dataset = LabelDataset(options(dataroot=tmp_path, contain_dontcare_label=True, no_instance=True))
    dataset.check()
    assert len(dataset) == 2
    assert set(dataset[0]["A"].unique().tolist()) == {2, 5}  # 3 is class 2; 0 is unknown, class label_nc


def test_unknown_ids_become_the_class_after_the_last(tmp_path):
    opt = folders(tmp_path)
    save(tmp_path / "train_label" / "1.png", label(255))
    opt.contain_dontcare_label = True
    assert set(LabelDataset(opt)[1]["A"][0].unique().tolist()) == {0, 5}


@pytest.mark.parametrize(("preprocess", "shape"), [("resize_and_crop", (16, 16)), ("fixed", (8, 16)),
                                                   ("scale_width", (16, 20)),
                                                   ("scale_shortside_and_crop", (16, 16))])
def test_images_are_resized_without_interpolating_ids(tmp_path, preprocess, shape):
    opt = folders(tmp_path)
    opt.preprocess, opt.load_size, opt.aspect_ratio, opt.no_flip = preprocess, 20, 2.0, False
    for i in range(3):
        item = LabelDataset(opt)[i]
        assert item["A"].shape[1:] == item["B"].shape[1:] == shape
        assert set(item["A"][0].unique().tolist()) <= {0, i}


def test_labels_and_photo_have_the_same_crop_and_flip(tmp_path):
    rows, columns = np.mgrid[:40, :40]
    for name in ("label", "inst"):
        save(tmp_path / f"train_{name}" / "a.png", (rows % 5).astype(np.uint8) if name == "label"
             else columns.astype(np.uint8))
    save(tmp_path / "train_img" / "a.png", np.stack((rows % 5, columns, rows), 2).astype(np.uint8))
    for seed in range(6):
        opt = options(dataroot=tmp_path, preprocess="crop", no_flip=False, seed=seed)
        item = LabelDataset(opt)[0]
        seen = ((item["B"] + 1) * 127.5).round().int()
        assert torch.equal(seen[0], item["A"][0])
        assert torch.equal(seen[1], item["A"][1])


def test_the_adf_data_set_wraps_label_items_unchanged(tmp_path, monkeypatch):
    opt = folders(tmp_path, count=8)
    opt.__dict__.update(base_dataset_mode="label", label_ratio=0.25, split_by="random", unlabeled="split",
                        search_split=0.0, split_seed=None,
                        unlabeled_dir=None, serial_batches=False, label_nc=9)
    dataset = AdfDataset(opt)
    for i in dataset.unlabeled:
        # targets of unlabeled inputs are never opened
        (tmp_path / "train_img" / f"{i}.png").write_text("not an image")
    dataset.check()
    items = [dataset[i] for i in range(len(dataset))]
    assert len(dataset.labeled) == 2
    assert len(items) == 6
    assert all(item["unlabeled"].shape == (2, 16, 24) and item["A"].shape == (2, 16, 24) for item in items)
    assert len({item["unlabeled_paths"] for item in items}) == 6


@pytest.mark.parametrize("names", [["clip.0001", "clip.0000"], ["c0/f0", "c1/f0"], ["5²0", "50", "a b"],
                                   ["x_1", "x"], ["q?", "x#1"]])
def test_maps_and_photos_are_paired_by_their_whole_names(tmp_path, names):
    for i, name in enumerate(names):
        save(tmp_path / "train_label" / f"{name}.png", np.full((4, 4), i, np.uint8))
        save(tmp_path / "train_img" / f"{name}.jpg", np.full((4, 4, 3), 50 * i, np.uint8))
    dataset = LabelDataset(options(dataroot=tmp_path, no_instance=True, preprocess="none"))
    values = [(int(item["A"].max()), round((float(item["B"].mean()) + 1) * 127.5 / 50))
              for item in (dataset[i] for i in range(len(names)))]
    assert sorted(values) == [(i, i) for i in range(len(names))]
    assert sorted(dataset.item_names()) == sorted(names)


def bad_id(root, opt):
    save(root / "train_label" / "1.png", label(200))


def no_instances(root, opt):
    for path in (root / "train_inst").iterdir():
        path.unlink()
    (root / "train_inst").rmdir()


def one_instance_less(root, opt):
    (root / "train_inst" / "1.png").unlink()


def other_size(root, opt):
    save(root / "train_img" / "1.png", photo(1, (16, 30)))


def other_name(root, opt):
    (root / "train_img" / "1.png").rename(root / "train_img" / "1b.png")


def colors(root, opt):
    save(root / "train_label" / "1.png", photo(1))


def backwards(root, opt):
    opt.direction = "BtoA"


def no_classes(root, opt):
    opt.label_nc = 0


def other_phase(root, opt):
    opt.phase = "val"


BAD = {bad_id: r"1.png: class id 200, --label_nc 5 allows 0 to 4; --contain_dontcare_label reads 255",
       no_instances: "no instance maps for .*train_inst, or --instance_dir.*--no_instance",
       one_instance_less: r"3 label maps and 2 instance maps, 1 have no partner of their name: \S+/1.png\. ",
       other_size: r"1.png is 24x16, .*1.png is 30x16",
       other_name: r"3 photos, 2 have no partner of their name: \S+/1.png, \S+/1b.png\. .*--no_pairing_check",
       colors: r"1.png: a map of ids has one channel, got 3 \(colors",
       backwards: "--direction BtoA does not exist",
       no_classes: "needs --label_nc", other_phase: "val_label is not a folder; folders in .*train_img"}


@pytest.mark.parametrize("spoil", list(BAD), ids=lambda f: f.__name__)
def test_bad_input_is_named_before_training(tmp_path, spoil):
    opt = folders(tmp_path)
    spoil(tmp_path, opt)
    with pytest.raises(ValueError, match=BAD[spoil]) as error:
        LabelDataset(opt).check()
    assert "\n" not in str(error.value)


def test_no_pairing_check_pairs_by_order_and_folders_without_labels_are_refused(tmp_path):
    opt = folders(tmp_path)
    other_name(tmp_path, opt)
    opt.no_pairing_check = True
    assert len(LabelDataset(opt)) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no labels: expected train_label and train_img, gtFine"):
        LabelDataset(options(dataroot=tmp_path / "empty"))
    with pytest.raises(ValueError, match="--label_dir needs --image_dir"):
        LabelDataset(options(label_dir=tmp_path / "train_label"))


def held_out_options(tmp_path, **changes):
    """Options of a search of a run that was trained on fixed folders of label maps and photos."""
    for phase in ("train", "val"):
        folders(tmp_path, phase, count=2 if phase == "val" else 3)
    run = {"label_dir": str(tmp_path / "train_label"), "image_dir": str(tmp_path / "train_img")}
    (tmp_path / "ck/net").mkdir(parents=True)
    (tmp_path / "ck/net/train_opt.json").write_text(json.dumps(run))
    return options(**{**run, "no_instance": True, "isTrain": False, "phase": "val", "dataset_mode": "label",
                      "batch_size": 1, "name": "net", "checkpoints_dir": str(tmp_path / "ck"), **changes})


def photos(opt, phase):
    """Return the names of the photos of a phase, and that of their folder."""
    paths = [Path(path) for path in held_out(opt, phase).dataset.images]
    return [path.name for path in paths], paths[0].parent.name


def test_folders_of_the_training_are_not_used_as_another_phase(tmp_path):
    opt = held_out_options(tmp_path)
    for phase in ("val", "test"):
        with pytest.raises(ValueError, match=f"has the training images of --name net.*of the phase {phase}"):
            held_out(opt, phase)
    assert photos(opt, "train") == (["0.png", "1.png", "2.png"], "train_img")


def test_a_training_does_not_validate_on_its_own_images(tmp_path):
    opt = held_out_options(tmp_path, isTrain=True, phase="train", name="new")
    with pytest.raises(ValueError, match="has the training images"):
        held_out(opt, "val")


def test_held_out_folders_are_scored_and_the_training_folders_calibrate(tmp_path):
    opt = held_out_options(tmp_path)
    opt.label_dir, opt.image_dir = str(tmp_path / "val_label"), str(tmp_path / "val_img")
    assert photos(opt, "val") == (["0.png", "1.png"], "val_img")
    assert photos(opt, "train") == (["0.png", "1.png", "2.png"], "train_img")


def test_the_phase_can_be_a_part_of_the_folders(tmp_path):
    opt = held_out_options(tmp_path)
    opt.label_dir, opt.image_dir = str(tmp_path / "{phase}_label"), str(tmp_path / "{phase}_img")
    run = tmp_path / "ck/net/train_opt.json"
    run.write_text(json.dumps({"label_dir": opt.label_dir, "image_dir": opt.image_dir}))
    assert photos(opt, "val") == (["0.png", "1.png"], "val_img")
    assert photos(opt, "train") == (["0.png", "1.png", "2.png"], "train_img")

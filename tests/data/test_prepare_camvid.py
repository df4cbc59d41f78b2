"""datasets/prepare_camvid.py: layouts of pairs, and one error line for bad input."""
import numpy as np
import pytest
from PIL import Image

from modules import load_module
from paths import ROOT

SCRIPT = ROOT / "datasets" / "prepare_camvid.py"
prepare_camvid = load_module(SCRIPT)

ROAD, SKY, VOID = (128, 64, 128), (128, 128, 128), (0, 0, 0)


def write_pair(root, phase, stem, ids, size=(48, 36), extension="png"):
    for folder in (phase, f"{phase}annot"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    photo = np.full((size[1], size[0], 3), (200, 100, 50), dtype=np.uint8)
    Image.fromarray(photo).save(root / phase / f"{stem}.{extension}")
    Image.fromarray(np.asarray(ids, dtype=np.uint8)).save(root / f"{phase}annot" / f"{stem}.png")


def halves(size=(48, 36)):
    """Sky (0) above, road (3) below, a void (11) column at the left."""
    ids = np.zeros((size[1], size[0]), dtype=np.uint8)
    ids[size[1] // 2:] = 3
    ids[:, :size[0] // 4] = 11
    return ids


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "camvid"
    for phase, count in (("train", 3), ("val", 2)):
        for k in range(count):
            write_pair(root, phase, f"frame_{k}", halves(), extension="jpg" if k == 0 else "png")
    return root


def fails(capsys, source, out, *flags):
    assert prepare_camvid.main(["--source", str(source), "--out", str(out), *flags]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("error: ")
    assert not out.exists() or not list(out.iterdir())  # nothing is left behind
    return captured.err


def test_pairs_hold_colors_left_and_the_photo_right(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert prepare_camvid.main(["--source", str(source), "--out", str(out), "--size", "32"]) == 0
    assert "train: 3 pairs" in (printed := capsys.readouterr().out)
    assert "val: 2 pairs" in printed
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png")) == [
        "train/frame_0.png", "train/frame_1.png", "train/frame_2.png", "val/frame_0.png", "val/frame_1.png"]
    assert sorted(p.name for p in out.iterdir()) == ["train", "val"]
    pair = np.array(Image.open(out / "train" / "frame_1.png"))
    assert pair.shape == (32, 64, 3)
    assert tuple(pair[0, 20]) == SKY
    assert tuple(pair[31, 20]) == ROAD
    assert tuple(pair[0, 0]) == VOID
    # interpolation by the nearest pixel mixes no colors
    assert {tuple(color) for color in pair[:, :32].reshape(-1, 3)} == {SKY, ROAD, VOID}
    assert np.abs(pair[:, 32:].astype(int) - (200, 100, 50)).max() <= 1


def test_the_test_phase_is_converted_if_it_exists(source, tmp_path):
    write_pair(source, "test", "late", halves())
    assert prepare_camvid.prepare(source, tmp_path / "out", 16) == {"train": 3, "val": 2, "test": 1}
    assert prepare_camvid.prepare(source, tmp_path / "val_only", 16, ["val"]) == {"val": 2}


def test_missing_folders_are_named(source, tmp_path, capsys):
    assert "nowhere" in fails(capsys, tmp_path / "nowhere", tmp_path / "out")
    assert "extra" in fails(capsys, source, tmp_path / "out", "--phases", "train", "extra")
    (source / "valannot").rename(source / "labels")
    assert "valannot" in fails(capsys, source, tmp_path / "out")


def test_stems_without_a_partner_are_counted_and_ten_named(source, tmp_path, capsys):
    for k in range(13):
        Image.new("RGB", (48, 36)).save(source / "train" / f"alone_{k:02d}.png")
    (source / "trainannot" / "frame_1.png").rename(source / "trainannot" / "other.png")
    message = fails(capsys, source, tmp_path / "out")
    assert "14 photos in train without a label map" in message
    assert "alone_09" in message
    assert "alone_10" not in message
    assert "and 4 more" in message
    assert "1 label maps in trainannot without a photo: other" in message


def test_label_ids_outside_the_classes_are_refused(source, tmp_path, capsys):
    write_pair(source, "val", "bad", np.full((36, 48), 12))
    message = fails(capsys, source, tmp_path / "out")
    assert "bad.png" in message
    assert "12" in message
    assert "0..11" in message


def test_label_and_photo_of_different_size_are_refused(source, tmp_path, capsys):
    write_pair(source, "val", "bad", np.zeros((36, 40)))
    message = fails(capsys, source, tmp_path / "out")
    assert "48x36" in message
    assert "40x36" in message
    assert "bad.png" in message


def test_unreadable_and_color_labels_are_all_named(source, tmp_path, capsys):
    (source / "train" / "frame_2.png").write_bytes(b"no image")
    Image.new("RGB", (48, 36)).save(source / "valannot" / "frame_1.png")
    message = fails(capsys, source, tmp_path / "out")
    assert "frame_2.png" in message
    assert "frame_1.png" in message
    assert "mode RGB" in message


def test_earlier_output_is_kept(source, tmp_path, capsys):
    out = tmp_path / "out"
    prepare_camvid.prepare(source, out, 16, ["val"])
    before = (out / "val" / "frame_0.png").read_bytes()
    assert prepare_camvid.main(["--source", str(source), "--out", str(out)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["val"]
    assert (out / "val" / "frame_0.png").read_bytes() == before

"""datasets/make_edges.py draws lines at edges, writes pairs, and reports bad input in one line."""

import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from data import hed_edges
from modules import load_module
from paths import ROOT

SCRIPT = ROOT / "datasets" / "make_edges.py"
make_edges = load_module(SCRIPT)


def box(height=48, width=48, inside=(200, 40, 40), outside=(40, 40, 40)):
    """A rectangle of one color on another: rows 12 to 35, columns 10 to 37."""
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[:] = outside
    image[12:36, 10:38] = inside
    return image


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def source(tmp_path):
    for phase, count in (("train", 3), ("val", 2)):
        for k in range(count):
            save(tmp_path / "photos" / phase / f"photo_{k}.png", box())
    return tmp_path / "photos"


def run(source, out, *flags):
    return make_edges.main(["--source", str(source), "--out", str(out), "--size", "48", *flags])


def fails(capsys, source, out, *flags):
    assert run(source, out, *flags) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("error: ")
    assert not out.is_dir() or not list(out.iterdir())  # nothing is left behind
    return captured.err


# lines

def test_a_rectangle_gives_one_closed_line_at_its_border():
    edges = make_edges.find_edges(box(), sigma=1.0)
    # regions are connected along rows and columns only, so that a diagonal line has no holes
    regions, count = ndimage.label(~edges)
    assert count == 2
    assert regions[0, 0] != regions[24, 24]
    rows, columns = np.nonzero(edges)
    outside = np.maximum.reduce([11.5 - rows, rows - 35.5, 9.5 - columns, columns - 37.5])
    # pixels from the true border, which is between two pixels; corners are rounded
    assert np.abs(outside).max() <= 1.5
    for cut in (edges[24], edges[:, 24]):
        assert cut.sum() == 2  # one pixel wide


def test_a_blank_image_has_no_line():
    assert not make_edges.find_edges(np.full((32, 32, 3), 77, dtype=np.uint8), sigma=1.0).any()


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_thresholds_are_differences_across_a_sharp_edge(sigma, axis):
    step = np.full((64, 64, 3), 100.0)
    step[32:] += 50
    step = step.swapaxes(0, axis)
    assert make_edges.find_edges(step, sigma, low=10, high=49).any()
    assert not make_edges.find_edges(step, sigma, low=10, high=51).any()


def test_edges_between_colors_of_one_luminance_are_seen():
    image = box(inside=(200, 0, 0), outside=(0, 102, 0))  # 0.299 * 200 = 0.587 * 102
    gray = np.asarray(Image.fromarray(image).convert("L"))
    assert np.ptp(gray) <= 1
    assert ndimage.label(~make_edges.find_edges(image, sigma=1.0))[1] == 2


def test_a_weak_line_stays_where_it_leads_to_a_strong_one():
    strength = np.linspace(20, 100, 64)  # the difference across the edge grows along it
    image = np.zeros((64, 64, 3)) + 50
    image[32:] += strength[:, None]
    columns = np.nonzero(make_edges.find_edges(image, 1.0, low=40, high=90).any(0))[0]
    assert abs(strength[columns.min()] - 40) < 4
    assert columns.max() == 63
    assert not make_edges.find_edges(image, 1.0, low=40, high=110).any()


def test_short_lines_are_left_out():
    image = box()
    image[2:5, 2:5] = 220  # a speck
    assert make_edges.find_edges(image, 1.0)[:8, :8].any()
    edges = make_edges.find_edges(image, 1.0, shortest=20)
    assert not edges[:8, :8].any()
    assert edges[24].sum() == 2


# HED

def smooth_box(network, photo):
    """A map of HED for :func:`box`: soft, wide lines, and a speck."""
    border = make_edges.find_edges(box(), sigma=1.0).astype(float)
    border[3, 3] = 2
    return 255 * np.minimum(1, 3.5 * ndimage.gaussian_filter(border, 1.5))


def test_the_soft_lines_of_hed_become_thin_and_specks_are_dropped(monkeypatch):
    monkeypatch.setattr(hed_edges, "edge_strength", smooth_box)
    edges = hed_edges.find_hed_edges(None, box(), sigma=1.0, low=60, high=120, shortest=8)
    assert ndimage.label(~edges)[1] == 2  # one closed line
    for cut in (edges[24], edges[:, 24]):
        assert cut.sum() == 2  # one pixel wide
    rows, columns = np.nonzero(edges)
    outside = np.maximum.reduce([11.5 - rows, rows - 35.5, 9.5 - columns, columns - 37.5])
    assert np.abs(outside).max() <= 1.5
    assert hed_edges.find_hed_edges(None, box(), sigma=1.0, low=60, high=120)[3, 3]
    assert not hed_edges.find_hed_edges(None, box(), sigma=1.0, low=60, high=255.1).any()


def test_the_strength_of_hed_has_the_size_of_the_photo_and_no_border():
    class Network:
        def edges(self, image):
            self.size = image.shape[-2:]
            return (image[:, :1] + 1) / 2  # the brightness of red

    network = Network()
    photo = np.zeros((40, 60, 3), dtype=np.uint8)
    photo[:, :30] = 200
    strength = hed_edges.edge_strength(network, photo)
    assert network.size == (7 * 40 + 64, 7 * 60 + 64)  # at least 256, and the border
    np.testing.assert_allclose(strength[:, :28], 200, atol=1)
    np.testing.assert_allclose(strength[:, 32:], 0, atol=1)


def test_pairs_with_the_edges_of_hed(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    error = fails(capsys, source, tmp_path / "out", "--detector", "hed")
    assert "--detector hed needs the weights of HED, not found: " in error
    assert "run python scripts/fetch_hed.py" in error
    monkeypatch.setattr(make_edges, "load_hed", lambda purpose: purpose)
    monkeypatch.setattr(hed_edges, "edge_strength", smooth_box)
    assert run(source, tmp_path / "out", "--detector", "hed") == 0
    pair = np.array(Image.open(tmp_path / "out" / "train" / "photo_0.png"))
    edges = hed_edges.find_hed_edges(None, box(), sigma=48 / 128, low=60, high=120, shortest=4)
    assert ((pair[:, :48] == 0).all(2) == edges).all()
    assert (pair[:, 48:] == box()).all()


# pairs

def test_pairs_hold_the_drawing_left_and_the_photo_right(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(source, out) == 0
    assert "train: 3 pairs" in (printed := capsys.readouterr().out)
    assert "val: 2 pairs" in printed
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png")) == [
        "train/photo_0.png", "train/photo_1.png", "train/photo_2.png", "val/photo_0.png", "val/photo_1.png"]
    assert sorted(p.name for p in out.iterdir()) == ["train", "val"]
    pair = np.array(Image.open(out / "train" / "photo_0.png"))
    assert pair.shape == (48, 96, 3)
    assert {tuple(color) for color in pair[:, :48].reshape(-1, 3)} == {(0, 0, 0), (255, 255, 255)}
    assert tuple(pair[0, 0]) == tuple(pair[24, 24]) == (255, 255, 255)
    assert (pair[24, 8:12] == 0).any()
    assert (pair[:, 48:] == box()).all()


def test_two_folders_hold_what_one_file_holds(source, tmp_path):
    run(source, tmp_path / "one")
    assert run(source, tmp_path / "two", "--layout", "folders") == 0
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["trainA", "trainB", "valA", "valB"]
    pair = np.array(Image.open(tmp_path / "one" / "val" / "photo_1.png"))
    halves = [np.array(Image.open(tmp_path / "two" / f"val{side}" / "photo_1.png")) for side in "AB"]
    assert (np.concatenate(halves, 1) == pair).all()


def test_the_same_photos_give_the_same_files(source, tmp_path):
    for name in ("first", "second"):
        run(source, tmp_path / name)
    first, second = ({p.relative_to(tmp_path / name): p.read_bytes()
                      for p in (tmp_path / name).rglob("*.png")}
                     for name in ("first", "second"))
    assert first == second
    assert len(first) == 5


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_photos_are_fit_to_squares(tmp_path, fit):
    image = np.full((48, 96, 3), (0, 0, 200), dtype=np.uint8)  # red borders 24 wide, blue middle
    image[:, :24] = image[:, 72:] = (200, 0, 0)
    save(tmp_path / "photos" / "train" / "wide.png", image)
    assert run(tmp_path / "photos", tmp_path / "out", "--fit", fit) == 0
    pair = np.array(Image.open(tmp_path / "out" / "train" / "wide.png"))
    edges, photo = pair[..., 0][:, :48] == 0, pair[:, 48:].astype(int)
    if fit == "crop":  # the middle half of its width, all of it blue
        assert (photo == (0, 0, 200)).all()
        assert not edges.any()
    elif fit == "pad":  # 24 rows high between white margins, which are no edges
        assert (photo[:12] == 255).all()
        assert (photo[36:] == 255).all()
        assert (photo[24, 24] == (0, 0, 200)).all()
        assert not edges[:12].any()
        assert not edges[36:].any()
        assert edges[24].sum() == 2
    else:
        assert (photo[0, 0] == (200, 0, 0)).all()
        assert (photo[47, 24] == (0, 0, 200)).all()
        assert edges[24].sum() == 2


def test_small_photos_are_enlarged_with_a_message(source, tmp_path, capsys):
    save(source / "val" / "small.png", box()[:20, :20])
    assert run(source, tmp_path / "out") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"train: 3 pairs in {tmp_path / 'out'}/train",
                     f"val: 3 pairs in {tmp_path / 'out'}/val; 1 photos are "
                     "smaller than 48 pixels and were enlarged"]


def test_photos_are_rotated_by_their_exif_orientation(tmp_path):
    folder = tmp_path / "photos" / "train"
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate clockwise by 90 degrees
    Image.fromarray(box()).save(folder / "turned.png", exif=exif)
    run(tmp_path / "photos", tmp_path / "out")
    pair = np.array(Image.open(tmp_path / "out" / "train" / "turned.png"))
    assert (pair[:, 48:] == np.rot90(box(), -1)).all()


# phases

def test_all_known_phases_are_taken_and_others_when_asked(source, tmp_path):
    save(source / "test" / "late.png", box())
    save(source / "extra" / "other.png", box())
    prepare = make_edges.prepare
    assert prepare(source, tmp_path / "a", 48) == {"train": (3, 0), "val": (2, 0), "test": (1, 0)}
    assert prepare(source, tmp_path / "b", 48, ["extra", "val", "extra"]) == {"extra": (1, 0), "val": (2, 0)}


def test_validation_is_another_name_of_val(source, tmp_path):
    (source / "val").rename(source / "validation")
    assert make_edges.prepare(source, tmp_path / "out", 48) == {"train": (3, 0), "val": (2, 0)}


def test_a_folder_without_phases_is_split_the_same_way_every_time(tmp_path):
    for k in range(20):
        save(tmp_path / "photos" / ("shoes" if k % 2 else "hats") / f"{k:02d}.png", box())
    prepare = make_edges.prepare
    assert prepare(tmp_path / "photos", tmp_path / "a", 48) == {"train": (18, 0), "val": (2, 0)}
    prepare(tmp_path / "photos", tmp_path / "b", 48)
    names = {where: {p.name for p in (tmp_path / where).rglob("*.png")}
             for where in ("a", "a/train", "a/val", "b/val")}
    assert names["a"] == {f"{'shoes' if k % 2 else 'hats'}_{k:02d}.png" for k in range(20)}
    assert not names["a/train"] & names["a/val"]
    assert names["a/val"] == names["b/val"]
    assert prepare(tmp_path / "photos", tmp_path / "c", 48, val_share=0) == {"train": (20, 0)}


def test_limit_spreads_over_the_names(tmp_path):
    for k in range(10):
        save(tmp_path / "photos" / "train" / f"{k}.png", box())
    assert make_edges.prepare(tmp_path / "photos", tmp_path / "out", 48, limit=4) == {"train": (4, 0)}
    names = sorted(int(p.stem) for p in (tmp_path / "out" / "train").iterdir())
    assert len(names) == 4
    assert np.ptp(names) >= 6


# bad input

def test_missing_and_empty_folders_are_refused(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert "nowhere" in fails(capsys, tmp_path / "nowhere", out)
    assert "extra" in fails(capsys, source, out, "--phases", "train", "extra")
    (tmp_path / "empty").mkdir()
    assert "holds no image" in fails(capsys, tmp_path / "empty", out)
    (source / "test").mkdir()
    assert "holds no image" in fails(capsys, source, out)


def test_unreadable_photos_are_all_named(source, tmp_path, capsys):
    (source / "train" / "text.jpg").write_text("no image")
    (source / "val" / "empty.png").write_bytes(b"")
    data = (source / "val" / "photo_0.png").read_bytes()
    (source / "val" / "cut.png").write_bytes(data[:len(data) // 2])
    message = fails(capsys, source, tmp_path / "out")
    assert all(name in message for name in ("text.jpg", "empty.png", "cut.png"))
    assert "3 of 8" in message


def test_photos_of_the_same_name_are_refused(source, tmp_path, capsys):
    save(source / "train" / "photo_1.bmp", box())
    message = fails(capsys, source, tmp_path / "out")
    assert "photo_1.bmp" in message
    assert "photo_1.png" in message


@pytest.mark.parametrize("flags", [("--size", "15"), ("--size", "5000"), ("--limit", "0"),
                                   ("--val_share", "1"), ("--low", "0"), ("--low", "90"), ("--high", "300"),
                                   ("--sigma", "0"), ("--sigma", "nan"), ("--shortest", "0"),
                                   ("--phases", "../train")])
def test_flags_out_of_range_are_refused(source, tmp_path, capsys, flags):
    with pytest.raises(SystemExit, match="2"):
        sys.exit(run(source, tmp_path / "out", *flags))
    assert flags[0] in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_an_output_folder_inside_the_source_or_at_a_file_is_refused(source, tmp_path, capsys):
    assert "inside" in fails(capsys, source, source / "pairs")
    assert run(source, source) == 2
    assert "inside" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert "is not a folder" in fails(capsys, source, tmp_path / "file")


def test_earlier_output_is_kept(source, tmp_path, capsys):
    out = tmp_path / "out"
    run(source, out, "--phases", "val")
    before = (out / "val" / "photo_0.png").read_bytes()
    capsys.readouterr()
    for flags in ((), ("--layout", "folders")):  # a folder val would be taken before valA and valB
        assert run(source, out, *flags) == 2
        assert "already exists" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["val"]
    assert (out / "val" / "photo_0.png").read_bytes() == before

"""Unusual image files are read with the pixels that a viewer shows; label ids are read unchanged."""
import os

import numpy as np
import pytest
import torch
from PIL import Image

from compression import load_original
from compression.metrics.segmenter import SEGMENTER_FORMAT, load_segmenter
from data.check import NOT_TURNED, TURNED, check_images
from data.ids import read_ids
from data.image_folder import make_dataset, open_photo
from data.single_dataset import SingleDataset
from data_options import data_options
from malformed.checkpoints import legacy, saved, shrunk, weights
from malformed.images import (
    ANIMATION,
    PHOTO,
    encoded,
    good,
    link_to_the_folder_itself,
    rotated,
    two_links_in_a_circle,
)

UNDO = {2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1), 6: lambda x: np.rot90(x, -1),
        7: lambda x: np.rot90(x, 2).swapaxes(0, 1), 8: np.rot90}


def photo(path, data, **settings):
    path.write_bytes(data)
    return np.asarray(open_photo(path, **settings)).astype(int)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientations_are_undone(orientation, kind, tmp_path):
    stored = np.asarray(PHOTO).astype(int)
    expected = UNDO.get(orientation, lambda x: x)(stored)
    pixels = photo(tmp_path / "x.png", encoded(PHOTO, kind, **rotated(orientation)))
    assert np.array_equal(pixels, expected)
    sizes = check_images([tmp_path / "x.png"]).sizes
    assert list(sizes) == [expected.shape[1::-1]]


def test_the_orientation_is_undone_if_another_exif_tag_is_damaged(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "a description"
    exif[0x0112] = 6
    damaged = exif.tobytes().replace(b"\x01\x0e\x00\x02", b"\x01\x00\x00\x02")  # the image width is a text
    assert damaged != exif.tobytes()
    pixels = photo(tmp_path / "x.png", encoded(exif=damaged))
    assert np.array_equal(pixels, UNDO[6](np.asarray(PHOTO)))


def test_pairs_are_not_rotated_by_their_exif_orientation(tmp_path):
    assert np.array_equal(photo(tmp_path / "x.png", encoded(**rotated(6)), turn=False), np.asarray(PHOTO))
    assert check_images([tmp_path / "x.png"], turn=False).notes == {NOT_TURNED: 1}
    assert check_images([tmp_path / "x.png"]).notes == {TURNED: 1}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_ids_are_not(kind, tmp_path):
    values = np.array([[0, 128, 257, 4_000, 32_768, 65_535]], np.uint16)
    pixels = photo(tmp_path / "x.png", encoded(Image.fromarray(values), kind))
    assert np.array_equal(pixels[..., 0], np.round(values / 257))
    assert (pixels == pixels[..., :1]).all()
    assert np.array_equal(read_ids(tmp_path / "x.png"), values)


def test_cmyk_is_converted_as_ink_on_white(tmp_path):
    ink = np.zeros((4, 4, 4), np.uint8)
    ink[:2, :, 0], ink[2:, :, 3] = 255, 255  # cyan above black
    pixels = photo(tmp_path / "x.tif", encoded(Image.fromarray(ink, "CMYK"), "TIFF"))
    assert pixels[0, 0].tolist() == [0, 255, 255]
    assert pixels[3, 3].tolist() == [0, 0, 0]


def test_transparent_pixels_are_blended_with_white(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = 0, 128, 255
    assert photo(tmp_path / "x.png", encoded(Image.fromarray(pixels)))[0, :, 0].tolist() == [255, 127, 0]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette.putpalette([9, 9, 9, 200, 100, 50])
    assert photo(tmp_path / "x.png", encoded(palette, transparency=0))[0].tolist() == [[255] * 3,
                                                                                       [200, 100, 50]]
    assert read_ids(tmp_path / "x.png").tolist() == [[0, 1]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_first_frame_of_several_is_read(kind, tmp_path):
    assert np.array_equal(photo(tmp_path / "x.png", encoded(PHOTO, kind, **ANIMATION)), np.asarray(PHOTO))
    assert "animated or of several pages: the first is used" in str(check_images([tmp_path / "x.png"]))


def test_links_in_a_circle_list_every_file_once(tmp_path):
    for name, make in (("a", link_to_the_folder_itself), ("b", two_links_in_a_circle)):
        (tmp_path / name).mkdir()
        make(tmp_path / name)
        assert len(make_dataset(tmp_path / name)) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_files_without_read_permission_are_named(tmp_path):
    (good(tmp_path) / "locked").mkdir()
    (tmp_path / "photos" / "locked").chmod(0)
    with pytest.raises(ValueError, match="locked cannot be listed .*ermission"):
        make_dataset(tmp_path / "photos")
    (tmp_path / "photos" / "locked").chmod(0o700)
    (tmp_path / "photos" / "good.png").chmod(0)
    with pytest.raises(ValueError, match="good.png: cannot be read as an image .*ermission"):
        check_images(make_dataset(tmp_path / "photos"))


def test_the_full_check_decodes_what_the_fast_one_of_a_large_set_does_not(tmp_path, monkeypatch):
    (good(tmp_path) / "cut.png").write_bytes(encoded()[:-40])
    monkeypatch.setattr("data.check._DECODE_LIMIT", 1)
    folder = tmp_path / "photos"
    SingleDataset(data_options(folder)).check()
    with pytest.raises(ValueError, match="1 of 2 images are unusable: .*cut.png"):
        SingleDataset(data_options(folder, check_data=True)).check()


@pytest.mark.parametrize("data", [lambda: shrunk(torch.float16), lambda: legacy(weights())],
                         ids=["half", "old format"])
def test_checkpoints_of_half_precision_and_the_old_format_load(data, tmp_path):
    (tmp_path / "x.pth").write_bytes(data())
    net = load_original(tmp_path / "x.pth")
    for key, value in net.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, weights()[key], atol=1e-3)


@pytest.mark.parametrize(("content", "message"), [
    ({"classes": 10 ** 12, "state_dict": {"a": torch.zeros(1)}, "meta": {}}, "'classes' must be a number"),
    ({"classes": "many", "state_dict": {}, "meta": {}}, "is damaged"), ({"classes": 3}, "is damaged")])
def test_damaged_segmenter_files_are_refused(content, message, tmp_path):
    (tmp_path / "x.pth").write_bytes(saved({"format": SEGMENTER_FORMAT, **content}))
    with pytest.raises(ValueError, match=message):
        load_segmenter(tmp_path / "x.pth")

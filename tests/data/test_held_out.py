"""The images that networks are scored and calibrated on."""
import numpy as np
import pytest
from PIL import Image

from data.held_out import evenly_spaced, held_out
from data_options import data_options


@pytest.mark.parametrize(("count", "limit", "expected"), [
    (10, 1, [5]), (10, 2, [2, 7]), (10, 5, [1, 3, 5, 7, 9]), (7, 3, [1, 3, 5]), (4, 4, [0, 1, 2, 3]),
    (4, 9, [0, 1, 2, 3]), (3, float("inf"), [0, 1, 2])])
def test_items_are_the_middles_of_equal_parts(count, limit, expected):
    assert evenly_spaced(count, limit) == expected


def test_a_limited_number_of_images_comes_from_the_whole_split(tmp_path):
    (tmp_path / "val").mkdir()
    for k in range(12):
        Image.fromarray(np.full((16, 32, 3), 20 * k, np.uint8)).save(tmp_path / "val" / f"{k:02}.png")
    opt = data_options(tmp_path, preprocess="none", dataset_mode="aligned", batch_size=2, max_dataset_size=5)
    batches = held_out(opt, "val", 4)
    grays = [round((image.mean().item() + 1) * 127.5) for batch in batches for image in batch["A"]]
    assert grays == [20, 80, 140, 200]  # the middles of 0 to 2, 3 to 5, 6 to 8, and 9 to 11
    assert len(batches) == 4

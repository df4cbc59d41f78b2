"""Single photos in the folder of pair files are refused, instead of cut in halves."""
import numpy as np
import pytest
from PIL import Image

from commands import train_here
from data.aligned_dataset import AlignedDataset
from data_options import data_options


def save(root, phase, width, height, count=3):
    (root / phase).mkdir()
    for i in range(count):
        Image.fromarray(np.full((height, width, 3), i, np.uint8)).save(root / phase / f"{i}.png")
    return root


@pytest.mark.parametrize(("width", "height"), [(32, 32), (34, 32), (24, 32)])
def test_square_and_upright_files_are_refused(tmp_path, width, height):
    save(tmp_path, "train", width, height)
    with pytest.raises(ValueError, match=f"3 of 3 files in .*train look like single photos.*{width}x{height}"
                                         ".*trainA and trainB, or --dataset_mode single; --no_pairing_check"):
        AlignedDataset(data_options(tmp_path)).check()
    AlignedDataset(data_options(tmp_path, no_pairing_check=True)).check()


def test_photos_of_4_to_3_are_refused_next_to_pairs_of_8_to_3(tmp_path):
    save(tmp_path, "train", 64, 24)
    save(tmp_path, "val", 32, 24)
    AlignedDataset(data_options(tmp_path)).check()
    with pytest.raises(ValueError, match="files in .*val are half as wide as those in .*train"):
        AlignedDataset(data_options(tmp_path, phase="val")).check()


@pytest.mark.parametrize("width", [40, 48, 64, 96])  # halves of 5:8, 3:4, 1:1, 3:2
def test_pairs_of_usual_shapes_are_accepted(tmp_path, width):
    save(save(tmp_path, "train", width, 32), "test", width, 32)
    AlignedDataset(data_options(tmp_path)).check()


def test_training_does_not_start(tmp_path):
    save(tmp_path, "train", 32, 32)
    at = ["--dataroot", tmp_path, "--checkpoints_dir", tmp_path / "runs", "--name", "x", "--load_size", "16",
          "--crop_size", "16", "--num_threads", "0", "--netG", "resnet_6blocks"]
    for model in ("pix2pix", "ugc_supernet"):
        assert "look like single photos" in train_here("--model", model, *at, status=2)[1]
    train_here(*at, "--check_data", "--no_pairing_check")

"""Colorization: CIE Lab against published values, and training, test, and UGC on a small data set."""
import numpy as np
import pytest
import torch
from PIL import Image

from commands import run_here, train_here
from compression import colorize, encode_input, load_student, to_image, translate
from compression.runtime.lab import split_lab
from data.colorization_dataset import ColorizationDataset
from data_options import data_options

# L, a, and b of sRGB colors, from tables of the CIE Lab space (D65, 2 degrees)
KNOWN = {(255, 255, 255): (100.0, 0.0, 0.0), (0, 0, 0): (0.0, 0.0, 0.0), (255, 0, 0): (53.24, 80.09, 67.20),
         (0, 255, 0): (87.73, -86.18, 83.18), (0, 0, 255): (32.30, 79.19, -107.86),
         (119, 119, 119): (50.03, 0.0, 0.0)}


@pytest.mark.parametrize("rgb", list(KNOWN))
def test_lab_has_the_published_values(rgb):
    lightness, ab = split_lab(torch.tensor(rgb).view(1, 3, 1, 1) / 127.5 - 1)
    lab = [float((lightness + 1) * 50), *(ab * 110).flatten().tolist()]
    assert lab == pytest.approx(KNOWN[rgb], abs=0.03)


def test_colorize_inverts_the_split():
    rgb = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert (colorize(*split_lab(rgb)) - rgb).abs().max() < 1e-3


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for phase in ("train", "val", "test"):
        (root / phase).mkdir()
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).resize((32, 32)).save(root / phase / f"{i}.png")
    return root


def test_items_are_lightness_and_colors(photos):
    opt = data_options(photos, input_nc=1, output_nc=2)
    dataset = ColorizationDataset(opt)
    assert str(dataset.check()).startswith("  files: 3")
    item = dataset[1]
    assert item["A"].shape == (1, 32, 32)
    assert item["B"].shape == (2, 32, 32)
    rgb = to_image(colorize(item["A"][None], item["B"][None]))
    difference = np.asarray(rgb).astype(int) - np.asarray(Image.open(photos / "train" / "1.png"))
    assert abs(difference).max() <= 1
    assert torch.equal(dataset.input_item(1)["A"], item["A"])
    with pytest.raises(ValueError, match="it needs --input_nc 1, --output_nc 2, and --direction AtoB, got"):
        ColorizationDataset(data_options(photos))


def test_colorization_trains_and_serves_ugc(photos, tmp_path):
    runs = tmp_path / "runs"
    at = ["--dataroot", photos, "--checkpoints_dir", runs]
    tiny = ["--ngf", "8", "--ndf", "4", "--load_size", "32", "--crop_size", "32", "--num_threads", "0",
            "--n_epochs", "1", "--n_epochs_decay", "0", "--batch_size", "2"]
    out, _ = train_here("--model", "colorization", "--netG", "resnet_6blocks", "--name", "net", *at, *tiny,
                        "--eval_every", "1", "--eval_metrics", "L1")
    assert "dataset [ColorizationDataset] was created" in out
    run_here("test", "--model", "colorization", "--name", "net", *at, "--results_dir", tmp_path / "results")
    images = tmp_path / "results" / "net" / "test_latest" / "images"
    real = np.asarray(Image.open(images / "0_real_B.png")).astype(int)
    assert abs(real - np.asarray(Image.open(photos / "test" / "0.png"))).max() <= 1
    train_here("--model", "ugc_supernet", "--base_dataset_mode", "colorization", "--name", "super", *at,
               "--label_ratio", "0.5", "--unlabeled_dir", photos / "val", "--restore_G",
               runs / "net" / "latest_net_G.pth", *tiny[4:])
    run_here("search", "--name", "super", "--checkpoints_dir", runs, "--population", "4", "--generations",
             "1", "--search_images", "2", "--criterion", "L1", "--phase", "val")
    train_here("--model", "ugc_distill", "--supernet", "super", "--name", "student", *at, *tiny[4:])
    net = load_student(runs / "student" / "latest_student.pth")
    x = encode_input(net, Image.open(photos / "test" / "2.png"))
    colors = to_image(colorize(x, translate(net, x)))
    run_here("test", "--model", "ugc_student", "--name", "student", *at, "--input", photos / "test" / "2.png",
             "--output", tmp_path / "out.png")
    difference = np.asarray(Image.open(tmp_path / "out.png")).astype(int) - np.asarray(colors)
    assert abs(difference).max() <= 1
    run_here("test", "--model", "ugc_student", "--name", "student", *at, "--results_dir", tmp_path / "r")
    with pytest.raises(ValueError, match="colorize"):
        to_image(translate(net, x))

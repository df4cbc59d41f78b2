"""Validation, search, test, and evaluation use whole images at the scale that training saw."""
import json
import runpy
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from commands import train_here
from compression import build_generator, load_original, load_student
from options.base_options import write_options
from options.search_options import SearchOptions
from options.test_options import TestOptions
from options.train_options import TrainOptions
from options.whole_images import FLAGS, whole_images
from paths import ROOT

TINY = ["--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--norm", "instance",
        "--netD", "pixel", "--no_dropout", "--n_epochs", "1", "--n_epochs_decay", "0", "--num_threads", "0",
        "--no_html", "--gpu_ids", "-1"]
SHORT_SEARCH = ["--population", "2", "--generations", "1", "--macs", "10G", "--teacher_macs", "10G",
                "--params", "1G", "--least_share", "0", "--gpu_ids", "-1"]


def here(script, *arguments):
    """Run an entry point in this process, which must end well."""
    argv = sys.argv
    sys.argv = [script, *map(str, arguments)]
    try:
        runpy.run_path(str(ROOT / script), run_name="a_test")["main"]()
    finally:
        sys.argv = argv


def write_pairs(root, sizes):
    """Write one side-by-side pair per size (width, height) for each phase; B is A in other colors."""
    rng = np.random.default_rng(0)
    for phase in ("train", "val", "test"):
        (root / phase).mkdir(parents=True)
        for i, (width, height) in enumerate(sizes):
            side = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(np.concatenate((side, 255 - side), 1)).save(root / phase / f"p{i}.png")


def scaled_side(path, side, size=None):
    """One side of a pair, (1, 3, H, W) in [-1, 1], scaled to (width, height)."""
    image = Image.open(path)
    middle = image.width // 2
    left, right = (0, middle) if side == "A" else (middle, image.width)
    image = image.crop((left, 0, right, image.height))
    image = image.resize(size, Image.BICUBIC) if size else image
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1) / np.float32(127.5) - 1)[None]


def resnet_macs(height, width, ngf=4):
    """MACs of resnet_6blocks (sides are multiples of 4); transposed convolutions count at output size."""
    pixels = height * width
    down = pixels // 4 * 9 * ngf * 2 * ngf + pixels // 16 * 9 * 2 * ngf * 4 * ngf
    blocks = 12 * pixels // 16 * 9 * (4 * ngf) ** 2
    up = pixels // 4 * 9 * 4 * ngf * 2 * ngf + pixels * 9 * 2 * ngf * ngf
    return 2 * pixels * 49 * 3 * ngf + down + blocks + up


TRAINED = ["--preprocess", "scale_width_and_crop", "--load_size", "48", "--crop_size", "16"]


@pytest.mark.parametrize(("trained", "given", "expected"), [
    (TRAINED, [], ("scale_width", 48, 16)),
    (["--preprocess", "scale_width", "--load_size", "96", "--crop_size", "32"], [], ("scale_width", 96, 32)),
    (["--preprocess", "scale_shortside_and_crop", "--load_size", "96", "--crop_size", "32"], [],
     ("scale_shortside", 96, 32)),
    (["--preprocess", "crop", "--crop_size", "32"], [], ("whole", 286, 32)),
    (["--preprocess", "none"], [], ("none", 286, 256)),
    (["--load_size", "36", "--crop_size", "32"], [], ("resize_and_crop", 32, 32)),
    (["--load_size", "36", "--crop_size", "32"], ["--load_size", "64"], ("resize_and_crop", 64, 64)),
    (["--load_size", "36", "--crop_size", "32"], ["--crop_size", "48"], ("resize_and_crop", 48, 48)),
    (["--load_size", "36", "--crop_size", "32"], ["--load_size=40", "--crop_size=32"],
     ("resize_and_crop", 40, 32)),
    (TRAINED, ["--load_size", "96"], ("scale_width", 96, 16)),
    (TRAINED, ["--preprocess", "crop"], ("crop", 48, 16)),
    (TRAINED, ["--preprocess", "none"], ("none", 48, 16))], ids=lambda value: " ".join(map(str, value)))
@pytest.mark.parametrize("kind", [TestOptions, SearchOptions])
def test_later_stages_use_whole_images_unless_flags_differ(tmp_path, kind, trained, given, expected):
    of_run = ["--dataroot", "d", "--checkpoints_dir", str(tmp_path), "--name", "run", "--gpu_ids", "-1"]
    write_options(TrainOptions().parse(["--model", "ugc_supernet", *of_run, *trained]))
    opt = kind().parse([*of_run, *given])
    assert tuple(getattr(opt, name) for name in FLAGS) == expected


def test_spade_with_a_style_code_has_one_image_size(tmp_path):
    opt = TrainOptions().parse(["--model", "spade", "--use_vae", "--dataroot", "d", "--name", "run",
                                "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1", *TRAINED])
    assert whole_images(opt) == {"preprocess": "fixed", "load_size": 48, "crop_size": 16}


def test_a_distillation_crops_like_its_supernet(tmp_path):
    of_run = ["--dataroot", "d", "--checkpoints_dir", str(tmp_path)]
    write_options(TrainOptions().parse(["--model", "ugc_supernet", "--name", "net", *of_run, *TRAINED]))
    opt = TrainOptions().parse(["--model", "ugc_distill", "--supernet", "net", *of_run])
    assert tuple(getattr(opt, name) for name in FLAGS) == ("scale_width_and_crop", 48, 16)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A supernet that was trained on crops of scaled images and validated; its folder and its arguments."""
    root = tmp_path_factory.mktemp("crops")
    write_pairs(root / "d", [(96, 64)] * 3)
    of_run = ["--checkpoints_dir", str(root), "--name", "net"]
    out, _ = train_here("--model", "ugc_supernet", "--dataroot", root / "d", *of_run, *TINY, *TRAINED,
                        "--label_ratio", "0.5", "--search_split", "0", "--eval_every", "1", "--eval_metrics",
                        "L1")
    return root, of_run, out


def expected_l1(root, net, phase):
    """Mean L1 distance, of values in [0, 1], between the images of a network and the targets at 48x32."""
    distances = []
    for path in sorted((root / "d" / phase).iterdir()):
        with torch.no_grad():
            image = net(scaled_side(path, "A", (48, 32)))
        distances.append((image - scaled_side(path, "B", (48, 32))).abs().mean() / 2)
    return float(torch.stack(distances).mean())


def test_the_validation_scores_whole_images(run):
    root, _, _ = run
    (row,) = [json.loads(line) for line in (root / "net/validation.jsonl").read_text().splitlines()]
    net = load_original(root / "net/latest_net_G.pth").eval()
    assert row["L1"] == pytest.approx(expected_l1(root, net, "val"), abs=0.004)  # of 8-bit images


def test_the_number_of_training_images_counts_labeled_and_unlabeled_ones(run):
    assert ("The number of training images = 3 (2 labeled pairs, 1 unlabeled inputs; an epoch has 2 items)"
            in run[2])


def test_search_and_test_use_whole_images(run, capsys):
    root, of_run, _ = run
    here("search.py", *of_run, *SHORT_SEARCH)
    printed = capsys.readouterr().out
    assert "MACs are for one image of 32x48 (height x width)" in printed
    assert f"written: {root}/net/latest_student.pth" in printed
    assert "distill it: python train.py --model ugc_distill --supernet net --name net_student" in printed
    result = json.loads((root / "net/search/student.json").read_text())
    assert result["size"] == [32, 48]
    here("test.py", "--model", "ugc_student", *of_run, "--results_dir", root / "results", "--gpu_ids", "-1")
    folder = root / "results/net/test_latest"
    record = json.loads((folder / "metrics.json").read_text())
    student = load_student(root / "net/latest_student.pth")
    assert (student.meta["input"]["preprocess"], student.meta["input"]["load_size"]) == ("scale_width", 48)
    assert record["metrics"]["student"]["L1"] == pytest.approx(expected_l1(root, student, "test"), abs=0.004)
    assert record["networks"]["original"]["macs"] == resnet_macs(32, 48)
    assert Image.open(folder / "images/p0_student.png").size == (48, 32)


def test_the_size_of_the_search_can_be_chosen(run):
    root, of_run, _ = run
    here("search.py", *of_run, *SHORT_SEARCH, "--load_size", "24")
    assert json.loads((root / "net/search/student.json").read_text())["size"] == [16, 24]


def test_after_crops_images_of_several_sizes_are_used_whole(tmp_path, capsys):
    sizes = [(33, 26), (33, 26), (40, 30), (18, 70)]
    write_pairs(tmp_path / "d", sizes)
    of_run = ["--checkpoints_dir", str(tmp_path), "--name", "net"]
    train_here("--model", "ugc_supernet", "--dataroot", tmp_path / "d", *of_run, *TINY, "--norm", "batch",
               "--preprocess", "crop", "--crop_size", "16", "--batch_size", "2", "--eval_every", "1")
    here("search.py", *of_run, *SHORT_SEARCH)
    assert "MACs are for one image of 28x36 (height x width)" in capsys.readouterr().out
    here("test.py", "--model", "ugc_student", *of_run, "--results_dir", tmp_path / "results", "--gpu_ids",
         "-1")
    images = tmp_path / "results/net/test_latest/images"
    assert [Image.open(images / f"p{i}_student.png").size for i in range(4)] == sizes
    record = json.loads((images.parent / "metrics.json").read_text())
    assert record["networks"]["original"]["macs"] == resnet_macs(28, 36)


def test_an_upstream_checkpoint_pads_images_and_crops_the_output(tmp_path):
    net = build_generator("resnet_6blocks", 3, 3, 4, "instance", False)
    (tmp_path / "mine").mkdir()
    torch.save(net.state_dict(), tmp_path / "mine/latest_net_G.pth")
    (tmp_path / "d").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (100, 75, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "d/photo.png")
    here("test.py", "--model", "test", "--name", "mine", "--checkpoints_dir", tmp_path, "--dataroot",
         tmp_path / "d", "--results_dir", tmp_path / "results", "--gpu_ids", "-1", "--preprocess",
         "scale_width", "--load_size", "75", "--crop_size", "75", "--no_dropout")
    fake = np.asarray(Image.open(tmp_path / "results/mine/test_latest/images/photo_fake.png"))
    padded = np.concatenate((pixels, pixels[:, -2:-1]), 1)  # to a width of 76, by reflection
    with torch.no_grad():
        expected = net(torch.from_numpy(padded.transpose(2, 0, 1) / np.float32(127.5) - 1)[None])
    expected = ((expected[0, :, :, :75].permute(1, 2, 0).numpy() + 1) * 127.5)
    assert fake.shape == (100, 75, 3)
    assert np.abs(fake - expected).max() <= 1


def test_a_suffix_is_part_of_the_name_of_the_earlier_run(tmp_path):
    of_run = ["--checkpoints_dir", str(tmp_path), "--name", "exp", "--gpu_ids", "-1"]
    write_options(TrainOptions().parse(["--model", "ugc_supernet", "--dataroot", "first", *of_run]))
    write_options(TrainOptions().parse(["--model", "ugc_supernet", "--dataroot", "second", *of_run,
                                        "--suffix", "{netG}"]))
    for kind in (TestOptions, SearchOptions):
        opt = kind().parse([*of_run, "--suffix", "{netG}"])
        assert (opt.name, opt.dataroot) == ("exp_resnet_9blocks", "second")

"""test.py and evaluate.py on names with special characters, sub-folders, phases, and images of all sizes."""
import json
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg

import evaluate
import test as test_script
from compression import build_generator
from compression.metrics.segmenter import Segmenter, load_segmenter, save_segmenter
from util.entry import run_main

ODD = ["clip.0000", "clip.0001", "a.1", "x#1", "q?", "50%25", "a b", "5²0", "über", "plus+amp&",
       "statue_real"]
SETTINGS = ["--netG", "resnet_6blocks", "--ngf", "4", "--norm", "instance", "--no_dropout", "--preprocess",
            "none", "--gpu_ids", "-1"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """The folder of a run `net` with an untrained small generator."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    (folder / "net").mkdir()
    torch.save(build_generator("resnet_6blocks", 3, 3, 4, "instance", False).state_dict(),
               folder / "net" / "latest_net_G.pth")
    return folder


@pytest.fixture
def call(checkpoints, tmp_path, monkeypatch, capsys):
    """A function that runs test.py or evaluate.py in this process: (exit status, output, error)."""
    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", ["command", "--checkpoints_dir", str(checkpoints), "--name", "net",
                                          "--results_dir", str(tmp_path / "results"), *map(str, arguments)])
        status = 0
        try:
            run_main(script.main)
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()
    return run


def write(path, seed, size=(16, 16), mode="RGB"):
    """Write random pixels (size is width, height); returns them as an array."""
    shape = (*size[::-1], 3) if mode == "RGB" else size[::-1]
    pixels = np.random.default_rng(seed).integers(0, 256 if mode == "RGB" else 3, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


class Links(HTMLParser):
    """Collects the files that a page refers to."""

    def __init__(self, text):
        HTMLParser.__init__(self)
        self.files = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.files += [unquote(value) for name, value in attributes if name in ("src", "href")]


def test_odd_names_and_sub_folders_are_kept_in_files_links_and_metrics(call, tmp_path):
    names = [*ODD, "clip0/f0", "clip1/f0"]
    pairs = {name: write(tmp_path / "d/val" / f"{name}.PNG", i, (32, 16)) for i, name in enumerate(names)}
    flags = ["--model", "pix2pix", "--dataroot", tmp_path / "d", "--phase", "val", *SETTINGS]
    status, _, err = call(evaluate, *flags, "--metrics", "L1")
    assert status == 0, err
    folder = tmp_path / "results/net/val_latest"
    files = {str(path.relative_to(folder / "images")) for path in (folder / "images").rglob("*.png")}
    assert files == {f"{name}_{label}.png" for name in names for label in ("real_A", "fake_B", "real_B")}
    links = Links((folder / "index.html").read_text()).files
    assert len(links) == 2 * 3 * len(names)
    assert all((folder / link).is_file() for link in links)
    errors = [np.abs(np.asarray(Image.open(folder / "images" / f"{name}_fake_B.png")) / 255.0
                     - pairs[name][:, 16:] / 255.0).mean() for name in names]
    record = json.loads((folder / "metrics.json").read_text())
    assert record["metrics"]["fake_B"]["L1"] == pytest.approx(np.mean(errors), abs=1e-6)
    assert record["protocol"]["images"] == len(names)
    status, _, err = call(evaluate, "--results", folder, "--reference", tmp_path / "d", "--phase", "val",
                          "--metrics", "L1")
    assert status == 0, err
    again = json.loads((folder / "metrics.json").read_text())
    assert again["metrics"]["fake_B"]["L1"] == pytest.approx(np.mean(errors), abs=1e-6)


def test_results_of_another_model_do_not_count_as_ground_truths(call, tmp_path):
    for folder in ("d/val", "d/val_A"):
        write(tmp_path / folder / "p0.png", 0, (32, 16))
    status, _, err = call(evaluate, "--model", "pix2pix", "--dataroot", tmp_path / "d", "--phase", "val",
                          "--metrics", "L1", *SETTINGS)
    assert status == 0, err
    flags = ["--model", "test", "--dataroot", tmp_path / "d" / "val_A", "--phase", "val", *SETTINGS]
    status, _, err = call(evaluate, *flags, "--metrics", "L1")
    assert status == 2
    assert "L1: no ground truths among the results" in err
    folder = tmp_path / "results/net/val_latest"  # the earlier results stay, because they were scored
    assert {path.name for path in (folder / "images").iterdir()} == {
        "p0_real_A.png", "p0_real_B.png", "p0_fake_B.png"}
    assert json.loads((folder / "metrics.json").read_text())["metrics"]["fake_B"]["L1"] >= 0


def test_files_of_one_name_are_refused_before_images_are_generated(call, tmp_path):
    for name in ("p0.png", "p0.jpg"):
        write(tmp_path / "d" / name, 0)
    status, _, err = call(test_script, "--model", "test", "--dataroot", tmp_path / "d", *SETTINGS)
    assert status == 2
    assert "1 names belong to several files" in err
    assert "p0.jpg, p0.png" in err
    assert not list((tmp_path / "results").rglob("*.png"))


def test_without_a_target_there_is_no_number(call, tmp_path):
    photos = [write(tmp_path / "d" / f"{i}.png", i) for i in range(2)]
    flags = ["--model", "test", "--dataroot", tmp_path / "d", *SETTINGS]
    status, _, err = call(evaluate, *flags)
    assert status == 2
    assert "no ground truths among the results; give --reference" in err
    folder = tmp_path / "results/net/test_latest"
    assert json.loads((folder / "metrics.json").read_text())["metrics"] == {}
    status, _, err = call(evaluate, *flags, "--reference", tmp_path / "d", "--metrics", "L1")
    assert status == 0, err
    fakes = [np.asarray(Image.open(folder / "images" / f"{i}_fake.png")) for i in range(2)]
    expected = np.mean([np.abs(fake / 255.0 - photo / 255.0).mean()
                        for fake, photo in zip(fakes, photos, strict=True)])
    values = json.loads((folder / "metrics.json").read_text())["metrics"]["fake"]
    assert values["L1"] == pytest.approx(expected)


def distance(generated, real, net):
    """The Frechet distance of two lists of photos on the features of a segmentation network."""
    def features(photos):
        with torch.no_grad():
            batches = [torch.from_numpy(photo).permute(2, 0, 1)[None] / 255.0 for photo in photos]
            return np.concatenate([net.features(batch).numpy() for batch in batches]).astype(np.float64)

    a, b = features(generated), features(real)
    root = linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
    trace = np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + trace


@pytest.fixture
def segmenter(tmp_path):
    """The file of an untrained segmentation network of 3 classes."""
    torch.manual_seed(1)
    save_segmenter(tmp_path / "segmenter.pth", Segmenter(3))
    return tmp_path / "segmenter.pth"


@pytest.mark.filterwarnings("ignore:.*images for 256 features", "ignore:Matrix is singular")
def test_all_images_of_a_plain_folder_count_whatever_their_names(call, tmp_path, segmenter):
    names = ["mic_input", "statue_real", "shot0", "shot1"]
    generated = [write(tmp_path / "mine" / f"{name}.png", i) for i, name in enumerate(names)]
    real = [write(tmp_path / f"photos/c{i}/0.png", 10 + i) for i in range(5)]
    status, _, err = call(evaluate, "--results", tmp_path / "mine", "--reference", tmp_path / "photos",
                          "--segmenter", segmenter, "--metrics", "FID")
    assert status == 0, err
    values = json.loads((tmp_path / "mine/metrics.json").read_text())["metrics"]["generated"]
    expected = distance(generated, real, load_segmenter(segmenter))
    assert next(iter(values.values())) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_images_of_a_page_without_its_page_are_refused(call, tmp_path):
    for label in ("real_A", "fake_B", "real_B"):
        write(tmp_path / f"copied/p0_{label}.png", 0)
    status, _, err = call(evaluate, "--results", tmp_path / "copied")
    assert status == 2
    assert "there is no index.html" in err


def confusion(photos, maps, net):
    """The mIoU in percent of a segmentation network on photos."""
    matrix = np.zeros((3, 3))
    for photo, truth in zip(photos, maps, strict=True):
        with torch.no_grad():
            predicted = net(torch.from_numpy(photo).permute(2, 0, 1)[None] / 255.0)[0].argmax(0).numpy()
        for t, p in zip(truth.ravel(), predicted.ravel(), strict=True):
            matrix[t, p] += 1
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    present = union > 0
    return 100 * (matrix.diagonal()[present] / union[present]).mean()


@pytest.mark.parametrize("names", [["clip.0000", "clip.0001", "a.1"], ["c0/f0", "c1/f0"]])
def test_every_image_gets_the_label_map_of_its_name(call, tmp_path, segmenter, names):
    photos = [write(tmp_path / "mine" / f"{name}.png", i) for i, name in enumerate(names)]
    maps = [write(tmp_path / "labels" / f"{name}.png", 10 + i, mode="L") for i, name in enumerate(names)]
    status, _, err = call(evaluate, "--results", tmp_path / "mine", "--labels", tmp_path / "labels",
                          "--segmenter", segmenter, "--metrics", "mIoU")
    assert status == 0, err
    value = json.loads((tmp_path / "mine/metrics.json").read_text())["metrics"]["generated"]["mIoU"]
    assert value == pytest.approx(confusion(photos, maps, load_segmenter(segmenter)), abs=1e-6)


@pytest.mark.filterwarnings("ignore:.*images for 256 features", "ignore:Matrix is singular")
def test_images_of_several_sizes_are_scored_at_their_own_sizes(call, tmp_path, segmenter):
    sizes = [(16, 16), (32, 16), (16, 24)]
    generated = [write(tmp_path / f"mine/{i}.png", i, size) for i, size in enumerate(sizes)]
    real = [write(tmp_path / f"photos/{i}.png", 10 + i, size) for i, size in enumerate(sizes)]
    status, _, err = call(evaluate, "--results", tmp_path / "mine", "--reference", tmp_path / "photos",
                          "--segmenter", segmenter, "--metrics", "L1", "PSNR", "FID")
    assert status == 0, err
    record = json.loads((tmp_path / "mine/metrics.json").read_text())
    errors = [a / 255.0 - b / 255.0 for a, b in zip(generated, real, strict=True)]
    values = record["metrics"]["generated"]
    assert values.pop("L1") == pytest.approx(np.mean([np.abs(e).mean() for e in errors]), abs=1e-6)
    assert values.pop("PSNR") == pytest.approx(np.mean([-10 * np.log10((e ** 2).mean()) for e in errors]),
                                               rel=1e-5)
    expected = distance(generated, real, load_segmenter(segmenter))
    assert next(iter(values.values())) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert "16x16 (1)" in record["protocol"]["sizes"]


def test_the_reference_is_one_phase_of_a_data_set(call, tmp_path):
    mine = [write(tmp_path / f"mine/{i}.png", i) for i in range(2)]
    photos = {}
    for seed, folder in enumerate(("train_A", "train_B", "val_A", "val_B")):
        photos[folder] = [write(tmp_path / "d" / folder / f"{i}.png", 10 * seed + i + 5) for i in range(2)]
    flags = ["--results", tmp_path / "mine", "--reference", tmp_path / "d", "--metrics", "L1"]
    for direction, folder in (("AtoB", "val_B"), ("BtoA", "val_A")):
        status, out, err = call(evaluate, *flags, "--phase", "val", "--direction", direction)
        assert status == 0, err
        assert f"2 photos of {tmp_path / 'd' / folder}" in out
        expected = np.mean([np.abs(a / 255.0 - b / 255.0).mean()
                            for a, b in zip(mine, photos[folder], strict=True)])
        values = json.loads((tmp_path / "mine/metrics.json").read_text())["metrics"]["generated"]
        assert values["L1"] == pytest.approx(expected, abs=1e-6)
    status, _, err = call(evaluate, *flags, "--phase", "vall")
    assert status == 2
    assert "no images of --phase vall" in err
    assert "its phases: train, val" in err


def test_phases_in_upper_case_are_no_plain_folder(call, tmp_path):
    write(tmp_path / "mine/0.png", 0)
    for phase in ("Train", "Val"):
        write(tmp_path / "d" / phase / "0.png", 1)
    flags = ["--results", tmp_path / "mine", "--reference", tmp_path / "d", "--metrics", "FID"]
    status, _, err = call(evaluate, *flags, "--phase", "val")
    assert status == 2
    assert "no images of --phase val (" in err
    assert "its phases: Train, Val" in err

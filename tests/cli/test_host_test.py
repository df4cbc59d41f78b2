"""test.py on originals: the results page and metrics, single images and folders, checkpoints of upstream."""
import json

import numpy as np
import pytest
import torch
from PIL import Image

from commands import run, run_here
from compression import load_original, save_atomic
from paths import FIXTURES

# SPADE's input is a label map; --model spade runs it
CASES = [case for case in sorted((FIXTURES / "upstream").iterdir()) if "spade" not in case.name]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A pix2pix run `net` with an untrained small generator, pairs and single photos: (folder, generator)."""
    from compression import build_generator, initialize

    folder = tmp_path_factory.mktemp("work")
    torch.manual_seed(0)
    net = initialize(build_generator("resnet_6blocks", ngf=8, norm="batch", dropout=False), "normal", 0.3)
    save_atomic(net.state_dict(), folder / "ck" / "net" / "latest_net_G.pth")
    rng = np.random.default_rng(0)
    for i in range(3):
        for path, shape in ((folder / "data" / "test" / f"p{i}.png", (32, 64, 3)),
                            (folder / "photos" / f"s{i}.png", (27 + i, 38, 3))):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return folder, net.eval()


def at(folder):
    return ["--name", "net", "--checkpoints_dir", folder / "ck", "--results_dir", folder / "results"]


SMALL = ["--netG", "resnet_6blocks", "--ngf", "8", "--no_dropout", "--load_size", "32", "--crop_size", "32"]


def test_pix2pix_writes_the_page_the_images_and_the_metrics(work):
    folder, net = work
    run("test.py", "--model", "pix2pix", "--dataroot", folder / "data", "--eval", *SMALL, *at(folder))
    results = folder / "results" / "net" / "test_latest"
    assert {p.name for p in (results / "images").iterdir()} == {
        f"p{i}_{visual}.png" for i in range(3) for visual in ("real_A", "fake_B", "real_B")}
    pair = np.asarray(Image.open(folder / "data" / "test" / "p1.png"))
    assert np.array_equal(np.asarray(Image.open(results / "images" / "p1_real_B.png")), pair[:, 32:])
    with torch.no_grad():
        fake = net(torch.from_numpy(pair[:, :32].transpose(2, 0, 1)[None].copy()).float() / 127.5 - 1)[0]
    stored = np.asarray(Image.open(results / "images" / "p1_fake_B.png")).astype(float)
    assert np.abs(stored - (fake.numpy().transpose(1, 2, 0) + 1) * 127.5).max() < 0.51
    report = json.loads((results / "metrics.json").read_text())
    assert report["protocol"]["images"] == 3
    l1 = []
    for i in range(3):
        fake = np.asarray(Image.open(results / "images" / f"p{i}_fake_B.png")).astype(float)
        real = np.asarray(Image.open(results / "images" / f"p{i}_real_B.png"))
        l1.append(np.abs(fake - real).mean() / 255)
    assert next(iter(report["metrics"].values()))["L1"] == pytest.approx(np.mean(l1), abs=1e-6)
    cost = next(iter(report["networks"].values()))
    assert cost["params"] == sum(p.numel() for p in net.parameters())
    assert cost["latency_ms"] > 0


def test_num_test_limits_the_images(work):
    folder, _ = work
    run_here("test", "--model", "pix2pix", "--dataroot", folder / "data", "--num_test", "1", *SMALL,
             "--phase", "test", "--name", "net", "--checkpoints_dir", folder / "ck",
             "--results_dir", folder / "one")
    assert len(list((folder / "one" / "net" / "test_latest" / "images").iterdir())) == 3


def test_model_test_runs_inputs_without_targets(work):
    folder, _ = work
    run("test.py", "--model", "test", "--dataroot", folder / "photos", "--no_dropout", "--preprocess", "none",
        *at(folder))
    names = {p.name for p in (folder / "results" / "net" / "test_latest" / "images").iterdir()}
    assert {f"s{i}_{visual}.png" for i in range(3) for visual in ("real", "fake")} <= names


def test_a_folder_of_images_of_any_size_is_translated(work):
    folder, _ = work
    run_here("test", "--model", "test", "--no_dropout", "--input", folder / "photos",
             "--output", folder / "out", *at(folder))
    for i in range(3):
        assert Image.open(folder / "out" / f"s{i}.png").size == (38, 27 + i)


@pytest.mark.parametrize("case", [case for case in CASES if (case / "latest_net_G.pth").is_file()],
                         ids=lambda c: c.name)
def test_checkpoints_of_upstream_give_the_generators_images(case, tmp_path):
    state = torch.load(case / "latest_net_G.pth", weights_only=True)
    save_atomic({f"module.{key}": value for key, value in state.items()},
                tmp_path / "net" / "latest_net_G.pth")
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(image).save(tmp_path / "photos" / "x.png")
    flags = ["--no_dropout"] if "dropout" not in case.name else []
    run_here("test", "--model", "test", "--dataroot", tmp_path / "photos", "--preprocess", "none",
             "--eval", *flags, "--name", "net", "--checkpoints_dir", tmp_path,
             "--results_dir", tmp_path / "results")
    net = load_original(case / "latest_net_G.pth")
    with torch.no_grad():
        gray = net.config["input_nc"] == 1
        x = np.asarray(Image.fromarray(image).convert("L"))[None] if gray else image.transpose(2, 0, 1)
        expected = net(torch.from_numpy(x[None].copy()).float() / 127.5 - 1)[0]
    saved = np.asarray(Image.open(tmp_path / "results" / "net" / "test_latest" / "images"
                                  / "x_fake.png")).astype(float)
    assert np.abs(saved - (expected.numpy().transpose(1, 2, 0) + 1) * 127.5).max() < 0.51


@pytest.mark.parametrize(("arguments", "message"), [
    (["--model", "test", "--input", "nothing.png", "--output", "o.png"],
     "nothing.png: cannot be read as an image"),
    (["--model", "test", "--input", "nothing.png"], "needs --output"),
    (["--model", "test", "--input", "nothing.png", "--output", "o.xyz"], "must end in one of .jpg"),
    (["--model", "test", "--model_suffix", "_A", "--dataroot", "."],
     "latest_net_G_A.pth: no such checkpoint"),
    (["--model", "test", "--epoch", "7", "--dataroot", "."], "7_net_G.pth: no such checkpoint"),
    (["--model", "pix2pix", "--dataset_mode", "single", "--dataroot", ".", *SMALL], "needs pairs"),
    (["--model", "pix2pix", *SMALL, "--ngf", "4", "--dataset_mode", "toy"], "does not fit ResnetGenerator"),
])
def test_errors_end_in_one_line(work, arguments, message):
    folder, _ = work
    arguments = [str(folder / "photos") if a == "." else a for a in arguments]
    assert message in run_here("test", *arguments, *at(folder), status=2)[1].splitlines()[-1]

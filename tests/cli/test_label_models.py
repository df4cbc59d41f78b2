"""Originals with label maps as inputs: training, exact continuation, tests, and supernets made from them."""
import json

import numpy as np
import pytest
import torch
from PIL import Image

from commands import run_here, train_here
from compression import load_original
from models import create_model
from options.train_options import TrainOptions

TINY = ["--ngf", "4", "--ndf", "4", "--toy_train_images", "4", "--toy_test_images", "2", "--batch_size", "2",
        "--num_threads", "0", "--n_epochs_decay", "0", "--lr_policy", "step", "--save_epoch_freq", "1"]
ORIGINALS = {"pix2pixhd": ["--model", "pix2pixhd"], "local": ["--model", "pix2pixhd", "--netG", "local"],
             "spade": ["--model", "spade"], "spade_vae": ["--model", "spade", "--use_vae"]}


@pytest.fixture(scope="module", params=list(ORIGINALS))
def original(request, tmp_path_factory):
    """A trained original: (folder, its flags)."""
    folder = tmp_path_factory.mktemp(request.param)
    at = [*ORIGINALS[request.param], "--checkpoints_dir", folder]
    train_here(*at, "--name", "net", "--n_epochs", "2", *TINY)
    return folder, at


def test_an_original_is_tested_on_label_maps(original):
    folder, at = original
    run_here("test", *at, "--name", "net", "--ngf", "4", "--toy_test_images", "2",
             "--results_dir", folder / "results")
    results = folder / "results" / "net" / "test_latest"
    assert {p.name for p in (results / "images").iterdir()} == {
        f"toy_test_0000{i}_{v}.png" for i in range(2) for v in ("real_A", "fake_B", "real_B")}
    assert Image.open(results / "images" / "toy_test_00000_real_A.png").mode == "RGB"
    report = json.loads((results / "metrics.json").read_text())
    assert np.isfinite(list(report["metrics"]["fake_B"].values())).all()


def test_a_continued_run_is_exact(original):
    folder, at = original
    train_here(*at, "--name", "parts", "--n_epochs", "1", *TINY)
    torch.manual_seed(1)  # only the saved state may continue
    train_here(*at, "--name", "parts", "--n_epochs", "2", *TINY, "--continue_train")
    files = sorted(p.name for p in (folder / "net").glob("latest_net_*.pth"))
    assert len(files) >= 2
    for name in files:
        whole, parts = (torch.load(folder / r / name, weights_only=True) for r in ("net", "parts"))
        assert whole.keys() == parts.keys(), name
        assert all(torch.equal(whole[key], parts[key]) for key in whole), name


def test_a_supernet_starts_with_exactly_the_originals_outputs(original):
    folder, at = original
    netG = "local" if "--netG" in at else at[1]
    flags = ["--model", "ugc_supernet", "--netG", netG, "--name", "sup", "--checkpoints_dir", str(folder),
             "--gpu_ids", "-1", *TINY, "--restore_G", str(folder / "net" / "latest_net_G.pth"), "--restore_D",
             str(folder / "net" / "latest_net_D.pth")]
    supernet = create_model(TrainOptions().parse(flags))
    spade_flags = {"num_upsampling_layers": "normal", "crop_size": 64, "aspect_ratio": 1.0}
    net = load_original(folder / "net" / "latest_net_G.pth", **(spade_flags if netG == "spade" else {}))
    maps = torch.randint(0, 12, (1, 2, 64, 64))
    x = supernet.encoding(maps)
    with torch.no_grad():
        assert torch.equal(supernet.netG.eval()(x), net(x))
        outputs = supernet.netD.eval()(torch.cat((x, torch.zeros(1, 3, 64, 64)), 1))
    assert len(outputs) == 2
    assert all(layer.isfinite().all() for layers in outputs for layer in layers)


def test_one_label_map_of_any_size_is_translated(original):
    folder, at = original
    if "--use_vae" in at:
        pytest.skip("a generator with a style code has a fixed image size")
    ids = np.random.default_rng(0).integers(0, 12, (45, 71)).astype(np.uint8)
    Image.fromarray(ids).save(folder / "map.png")
    command = ["test", *at, "--name", "net", "--ngf", "4", "--input", folder / "map.png",
               "--output", folder / "out.png"]
    run_here(*command, "--input_instance", folder / "map.png")
    assert Image.open(folder / "out.png").size == (71, 45)
    assert "give --input_instance" in run_here(*command, status=2)[1]
    Image.fromarray(ids + 200).save(folder / "wrong.png")
    _, err = run_here(*command[:-4], "--input", folder / "wrong.png", "--output", folder / "out.png",
                      "--input_instance", folder / "map.png", status=2)
    assert "wrong.png: class id 211, --label_nc 12 allows 0 to 11" in err


def test_a_discriminator_of_other_labels_is_refused(original):
    folder, at = original
    netG = "local" if "--netG" in at else at[1]
    _, err = train_here("--model", "ugc_supernet", "--netG", netG, "--name", "x",
                        "--checkpoints_dir", folder, *TINY, "--no_instance",
                        "--restore_D", folder / "net" / "latest_net_D.pth", status=2)
    assert "--input_nc 16" in err
    assert "asked: --input_nc 15" in err

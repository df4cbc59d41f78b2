"""benchmarks/adf_quality.py compares scores of fake labels with targets that the training never opens."""
import contextlib
import io
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from commands import train_here
from compression import SearchSpace, load_original
from data.label_split import split
from modules import load_module
from options.ugc_options import LabelSettings
from paths import ROOT

COUNT, SIDE = 8, 32
HIDDEN = split(COUNT, LabelSettings(ratio=0.25)).unlabeled
TINY = ["--preprocess", "none", "--no_flip", "--num_threads", "0", "--n_epochs", "1", "--n_epochs_decay", "0",
        "--no_html", "--gpu_ids", "-1"]


def pair(k):
    """The input and the target of item k, (H, W, 3)."""
    return np.random.default_rng(k).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def supernet(tmp_path_factory):
    """A supernet trained on pairs of which the hidden targets are unreadable: (folder, flags)."""
    folder = tmp_path_factory.mktemp("quality")
    for side in "AB":
        (folder / f"train{side}").mkdir()
    for k in range(COUNT):
        for side, image in zip("AB", pair(k), strict=True):
            Image.fromarray(image).save(folder / f"train{side}" / f"{k}.png")
    for k in HIDDEN:
        (folder / "trainB" / f"{k}.png").write_bytes(b"hidden")
    at = ["--checkpoints_dir", str(folder / "ck")]
    train_here("--model", "ugc_supernet", "--name", "net", "--dataroot", folder, "--netG", "resnet_6blocks",
               "--norm", "instance", "--ngf", "4", "--ndf", "4", "--label_ratio", "0.25",
               "--search_split", "0", *TINY, *at)
    full = load_original(folder / "ck" / "net" / "latest_net_G.pth").full
    (folder / "arch.json").write_text(json.dumps(SearchSpace.of(full, 4).smallest.to_json()))
    return folder, ["--supernet", "net", "--teachers", "largest", "--student_arch", str(folder / "arch.json"),
                    *TINY, *at]


def measure(monkeypatch, *flags):
    """Run the benchmark in this process and return its report."""
    monkeypatch.setattr(sys, "argv", ["adf_quality.py", *map(str, flags)])
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        load_module(ROOT / "benchmarks" / "adf_quality.py").main()
    return json.loads(out.getvalue())


def test_only_the_benchmark_reads_the_hidden_targets(supernet, monkeypatch):
    folder, flags = supernet
    train_here("--model", "ugc_distill", "--name", "student", *flags)  # all of them are unreadable
    with pytest.raises(ValueError, match=f"trainB/{HIDDEN[0]}.png"):
        measure(monkeypatch, "--measure", "0", *flags)
    for k in HIDDEN:
        Image.fromarray(pair(k)[1]).save(folder / "trainB" / f"{k}.png")
    report = measure(monkeypatch, "--measure", "0", "1", *flags)
    assert (report["adf"], report["images"]) == ("consistency", len(HIDDEN))
    start, end = report["epochs"]
    assert (start["epoch"], end["epoch"]) == (0, 1)
    assert set(start["rules"]) == {"consistency", "discriminator"}  # the others compare two teachers
    net = load_original(folder / "ck" / "net" / "latest_net_G.pth").eval()
    inputs, targets = (torch.tensor(np.stack([pair(k)[i] for k in HIDDEN])).movedim(3, 1) / 127.5 - 1
                       for i in range(2))
    with torch.no_grad():
        distance = (net(inputs) - targets).abs().mean().item()
    cell = start["rules"]["discriminator"]["largest"]["-L1"]
    assert (4 * cell["kept"] + 2 * cell["dropped"]) / 6 == pytest.approx(-distance, abs=1e-3)
    assert cell != end["rules"]["discriminator"]["largest"]["-L1"]


def test_a_rule_is_compared_by_rank_and_by_the_quality_of_what_it_keeps():
    compare = load_module(ROOT / "benchmarks" / "adf_quality.py").compare
    # ranks 1 2 3 4 and 2 1 4 3: 1 - 6 (4 * 1) / (4 * 15) = 0.6
    cell = compare([-9.0, -3.0, 1.0, 70.0], [0.2, 0.1, 0.4, 0.3], keep=0.75)
    assert cell == {"spearman": 0.6, "kept": pytest.approx(0.8 / 3, abs=1e-4), "dropped": 0.2}


def test_too_few_hidden_targets_are_refused(supernet, monkeypatch):
    with pytest.raises(ValueError, match="--label_ratio 0.9 .* leave 0 unlabeled inputs with a target"):
        measure(monkeypatch, "--label_ratio", "0.9", *supernet[1])

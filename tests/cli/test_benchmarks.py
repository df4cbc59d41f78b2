"""benchmarks/ print JSON."""
import json
import shlex
from argparse import Namespace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.step_profile import StepProfile
from commands import run
from modules import load_module
from options.train_options import TrainOptions
from paths import ROOT


def test_train_step_reports_seconds_per_image_and_memory():
    variants = ["--perceptual none", "--perceptual discriminator"]
    done = run("benchmarks/train_step.py", "--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4",
               "--size", "32x32", "--steps", "1", "--amp", "none", "--stages", "original",
               "ugc_distill", "--variants", *variants)
    report = json.loads(done.stdout)
    rows = report["seconds_per_image"]
    assert list(rows)[1:] == [f"ugc_distill/fp32 {variant}".strip() for variant in variants]
    assert all(value > 0 for value in rows.values())
    assert set(report["memory_gib"]) == set(rows)
    assert all(m["estimated"] > 0 for m in report["memory_gib"].values())
    assert next(iter(report["ratio_to_first"].values())) == 1
    assert set(report["convolution_peak"]) == {"fp32/contiguous", "fp32/channels_last"}
    assert all(0 < value < 2 for value in report["fraction_of_peak"].values())
    parts = report["breakdown"]["pix2pix/fp32"]
    assert set(parts) == {"generator", "discriminator", "losses", "optimizer"}
    assert set(parts["generator"]) == {"forward", "backward"}
    # the first convolution needs no gradient of its input, all others two gradients
    forward, backward = (parts["generator"][direction]["gmacs"] for direction in ("forward", "backward"))
    assert 1.5 * forward < backward < 2 * forward
    assert parts["optimizer"]["forward"]["gmacs"] == 0


def test_scaling_reports_images_and_communication_of_two_processes():
    done = run("benchmarks/scaling.py", "--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--size",
               "32x32", "--steps", "1", "--stages", "original", "--processes", "2")
    row = json.loads(done.stdout)["rows"]["pix2pix/2"]
    assert row["images_per_second"] == pytest.approx(2 / row["seconds_per_step"], rel=0.02)
    assert row["megabytes"] > 0
    assert row["all_reduces"] >= 2  # of the generator and the discriminator


def test_the_profile_of_a_step_counts_convolutions_by_network_and_direction():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    profile = StepProfile(torch.device("cpu"))
    with profile.watching({"net": net}):
        net(torch.zeros(2, 3, 12, 12)).square().mean().backward()
        optimizer.step()
    macs = {key: value[1] for key, value in profile.rows.items() if value[1]}
    first, second = 2 * 8 * 3 * 9 * 10 ** 2, 2 * 4 * 8 * 9 * 8 ** 2
    assert macs == {("net", "forward", "convolutions"): first + second,
                    ("net", "backward", "convolutions"): first + 2 * second}
    assert {network for network, _, _ in profile.rows} == {"net", "losses", "optimizer"}
    assert "forward" not in vars(net)  # as before


def test_the_step_of_omgd_runs_the_passes_of_its_code(tmp_path):
    """Updates of the teachers and of the discriminator cost 16 passes of it and two of each teacher."""
    peer = load_module(ROOT / "benchmarks" / "omgd_step.py")
    args = Namespace(netG="resnet_6blocks", ngf=8, ndf=8, norm="instance", size="32x32", batch_size=1,
                     steps=1, amp="none", channels_last="off")
    peer.write_networks(tmp_path, args)
    model, batch = peer.build(tmp_path, args, "")
    steps = {every: peer.OMGDStep(model, batch, every) for every in (1, 3)}
    measured = {every: peer.count_macs((step.step, every)) for every, step in steps.items()}

    def macs(net, *inputs):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(*inputs)
        return counter.get_total_flops() / 2e9

    x, y = batch["A"], batch["B"]
    pairs = torch.cat((x, y), 1)
    discriminator = 8 * 6 * 4 ** 2 * 16 ** 2 / 1e9, macs(model.netD, pairs, "wide")  # first layer, all
    update = 4 * (3 * discriminator[1] - discriminator[0]) + 2 * 2 * discriminator[1]
    for teacher in model.netT.values():
        stem = next(module for module in teacher.modules() if isinstance(module, nn.Conv2d))
        update += 2 * macs(teacher, x) - stem.weight.numel() * 32 ** 2 / 1e9  # x needs no gradient
    assert measured[1] - measured[3] == pytest.approx(2 / 3 * update, rel=1e-6)


def test_the_comparison_with_omgd_reports_both_steps():
    done = run("benchmarks/omgd_step.py", "--netG", "resnet_6blocks", "--size", "32x32", "--ngf", "4",
               "--ndf", "4", "--steps", "1")
    report = json.loads(done.stdout)
    for period in ("every", "every_3"):
        rows = report[period]
        assert rows["OMGD"]["gmacs_per_image"] > rows["here"]["gmacs_per_image"] > 0
        low, high = rows["range"]
        assert 0 < low <= rows["times_as_fast"] <= high


@pytest.fixture
def study(tmp_path):
    """The study of ablations.py, without data; (its module, the study)."""
    ablations = load_module(ROOT / "benchmarks" / "ablations.py")
    settings = {"dataroot": "none", "work": tmp_path, "size": 32, "netG": "unet_128", "norm": "batch",
                "label_ratio": 0.25, "minutes": [1.0, 2.0], "ngf": 8, "batch_size": 4, "flags": "",
                "original_minutes": 0.0}
    return ablations, ablations.Study(Namespace(**settings))


def test_ablations_hold_out_stretches_of_the_training_photos(study):
    _, study = study
    for k in range(40):
        path = study.pairs / "train" / f"{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for _ in range(2):  # the second time nothing moves
        study.split_decide()
        held_out = sorted(path.name for path in (study.pairs / "decide").iterdir())
        assert held_out == ["06.png", "07.png", "20.png", "21.png", "32.png", "33.png"]


def test_ablations_keep_results_refuse_those_of_other_flags_and_report_the_spread(study):
    ablations, study = study
    for seed, value in ((0, 0.5), (1, 0.7)):
        path = study.work / "results" / f"{study.setting}_ema_seed{seed}.json"
        settings = {"netG": "unet_128", "norm": "batch", "label_ratio": 0.25, "minutes": [1.0, 2.0],
                    "size": 32, "ngf": 8, "batch_size": 4, "flags": "", "variant": "ema", "seed": seed,
                    "stage_1": "", "stage_2": "--ema 0.99"}
        path.parent.mkdir(exist_ok=True)
        scores = {"distilled": {"val": {"L1": value}}}
        path.write_text(json.dumps({"settings": settings, "steps": 1, "scores": scores}))
        study.run("ema", "", "--ema 0.99", seed)  # trains nothing
        with pytest.raises(ValueError, match=r"is a result of other settings \(stage_2\)"):
            study.run("ema", "", "--ema 0.9", seed)
    report = ablations.report(study.work / "results")
    assert report == {"unet_128 batch 0.25 [1.0, 2.0]": {"ema": {"val": {"distilled": {
        "L1": [0.6, pytest.approx(0.1414), 2]}}}}}


def test_the_stages_know_the_flags_of_all_ablations(study):
    ablations, _ = study
    starts = (["--model", "ugc_supernet"], ["--model", "ugc_distill", "--supernet", "none"])
    for stages in ablations.VARIANTS.values():
        for start, text in zip(starts, stages, strict=True):
            options = TrainOptions()
            options.gather([*start, *shlex.split(text)])
            options.parser.parse_args([*start, *shlex.split(text)])

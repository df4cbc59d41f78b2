"""benchmarks/ print JSON."""
import json
import shlex
from argparse import Namespace

import pytest

from commands import run
from modules import load_module
from options.train_options import TrainOptions
from paths import ROOT


def test_train_step_reports_seconds_per_image_and_memory():
    variants = ["--perceptual none", "--perceptual discriminator"]
    done = run("benchmarks/train_step.py", "--netG", "resnet_6blocks", "--ngf", "4", "--size", "32x32",
               "--steps", "1", "--amp", "none", "--variants", *variants)
    report = json.loads(done.stdout)
    rows = report["seconds_per_image"]
    assert list(rows)[2:] == [f"ugc_distill/fp32 {variant}".strip() for variant in variants]
    assert all(value > 0 for value in rows.values())
    assert set(report["memory_gib"]) == set(rows)
    assert all(m["estimated"] > 0 for m in report["memory_gib"].values())
    assert next(iter(report["ratio_to_first"].values())) == 1


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

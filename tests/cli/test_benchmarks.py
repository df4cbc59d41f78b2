"""benchmarks/ print JSON."""
import json

import pytest

from commands import run


@pytest.mark.parametrize(("netG", "size", "variants"), [
    ("resnet_6blocks", "32x32", ["--perceptual none", "--perceptual discriminator"]),
    ("spade", "64x128", [""])])
def test_train_step_reports_seconds_per_image_and_memory(netG, size, variants):
    done = run("benchmarks/train_step.py", "--netG", netG, "--ngf", "4", "--size", size, "--steps", "1",
               "--amp", "none", "--variants", *variants)
    report = json.loads(done.stdout)
    rows = report["seconds_per_image"]
    assert list(rows)[2:] == [f"ugc_distill/fp32 {variant}".strip() for variant in variants]
    assert all(value > 0 for value in rows.values())
    assert set(report["memory_gib"]) == set(rows)
    assert all(m["estimated"] > 0 for m in report["memory_gib"].values())
    assert next(iter(report["ratio_to_first"].values())) == 1

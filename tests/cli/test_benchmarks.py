"""benchmarks/ print JSON."""
import json

import pytest

from commands import run


@pytest.mark.parametrize(("netG", "size"), [("resnet_6blocks", "32x32"), ("spade", "64x128")])
def test_train_step_reports_seconds_per_image_and_memory(netG, size):
    done = run("benchmarks/train_step.py", "--netG", netG, "--ngf", "4", "--size", size, "--steps", "1",
               "--amp", "none", "--variants", "--perceptual none", "--perceptual discriminator")
    report = json.loads(done.stdout)
    rows = report["seconds_per_image"]
    assert len(rows) == 4
    assert list(rows)[2:] == [f"ugc_distill/fp32 --perceptual {kind}" for kind in ("none", "discriminator")]
    assert all(value > 0 for value in rows.values())
    assert set(report["memory_gib"]) == set(rows)
    assert all(m["estimated"] > 0 for m in report["memory_gib"].values())
    assert next(iter(report["ratio_to_first"].values())) == 1

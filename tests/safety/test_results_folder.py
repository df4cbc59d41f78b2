"""Results are replaced when they are complete, stay in their folder, and know their run and their images."""
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands import run_here
from compression import build_generator, save_atomic
from compression.checkpoints import run_of

ONE, TWO = "1" * 32, "2" * 32
MODEL = ["--model", "pix2pix", "--netG", "resnet_6blocks", "--ngf", "4", "--norm", "instance", "--no_dropout",
         "--preprocess", "none", "--gpu_ids", "-1", "--phase", "val"]


@pytest.fixture
def work(tmp_path):
    """Two pairs of images, and two runs of a small generator: net, and other by another run."""
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 32, 3), dtype=np.uint8)
        (tmp_path / "d/val").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"d/val/{i}.png")
    torch.manual_seed(0)
    state = build_generator("resnet_6blocks", 3, 3, 4, "instance", False).state_dict()
    for name, run in (("net", ONE), ("other", TWO)):
        save_atomic(state, tmp_path / "ck" / name / "latest_net_G.pth", run)
    return tmp_path


def call(script, work, *flags, status=0):
    return run_here(script, "--checkpoints_dir", work / "ck", "--results_dir", work / "results", "--name",
                    "net", *flags, status=status)


def run_model(script, work, *flags, status=0):
    return call(script, work, *MODEL, "--dataroot", work / "d", *flags, status=status)


def files_in(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results_of(work):
    """The results, without those that are not finished."""
    return {path: content for path, content in files_in(work / "results").items()
            if ".unfinished" not in str(path)}


@pytest.mark.parametrize("place", ["util.results.save_image", "models.measuring.Measuring.report",
                                   "util.evaluation.Evaluation.run"])
def test_an_interrupted_evaluation_leaves_the_earlier_results(work, monkeypatch, place):
    run_model("evaluate", work, "--metrics", "L1")
    before = results_of(work)
    assert Path("net/val_latest/metrics.json") in before

    def interrupt(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupt)
    run_model("evaluate", work, "--metrics", "L1", status=130)
    assert results_of(work) == before
    monkeypatch.undo()
    run_model("evaluate", work, "--metrics", "L1")
    assert files_in(work / "results").keys() == before.keys()


LINKED = ["val_latest", "val_latest/images", "val_latest/images/sub", "val_latest/tensorboard",
          ".val_latest.unfinished"]


@pytest.mark.parametrize("script", ["test", "evaluate"])
@pytest.mark.parametrize("name", LINKED)
def test_a_link_in_a_folder_of_results_is_refused_and_its_target_stays(work, name, script):
    target = work / "precious"
    target.mkdir()
    for file in ("0_fake_B.png", "metrics.json", "index.html"):
        (target / file).write_text("precious")
    before = files_in(target)
    link = work / "results/net" / name
    link.parent.mkdir(parents=True)
    os.symlink(target, link)
    _, err = run_model(script, work, status=2)
    assert f"{link} is a symbolic link; " in err
    assert files_in(target) == before
    link.unlink()
    run_model("test", work)


def test_links_to_files_are_replaced_and_their_targets_stay(work):
    folder = work / "results/net/val_latest"
    (folder / "images").mkdir(parents=True)
    names = ["images/0_fake_B.png", "images/gone_fake_B.png", "index.html", "metrics.json", "../report.html"]
    for name in names:
        target = work / f"{Path(name).name}.precious"
        target.write_text("{}")
        os.symlink(target, folder / name)
    run_model("evaluate", work, "--metrics", "L1")
    assert not any((folder / name).is_symlink() for name in names)
    assert {path.read_text() for path in work.glob("*.precious")} == {"{}"}


def test_a_linked_cache_of_features_is_refused(work):
    run_model("test", work)
    (work / "elsewhere").mkdir()
    os.symlink(work / "elsewhere", work / "results/features")
    (work / "net.pt").write_bytes(b"")
    folder = work / "results/net/val_latest"
    _, err = call("evaluate", work, "--results", folder, "--metrics", "L1", status=2)
    assert f"{work / 'results/features'} is a symbolic link; " in err


def test_earlier_images_are_removed_and_other_files_stay(work):
    images = work / "results/net/val_latest/images"
    run_model("test", work)
    assert run_of(images.parent / "metrics.json") == ONE
    shutil.copy(images / "0_fake_B.png", images / "0_student.png")
    (images / "mine.png").write_bytes((images / "0_fake_B.png").read_bytes())
    shutil.copy(work / "ck/other/latest_net_G.pth", work / "ck/net/latest_net_G.pth")
    run_model("test", work)
    assert run_of(images.parent / "metrics.json") == TWO
    assert not (images / "0_student.png").exists()
    assert (images / "mine.png").is_file()


def test_the_report_has_no_curves_and_no_student_of_another_run(work):
    run_model("test", work)
    folder, run = work / "results/net/val_latest", work / "ck/net"
    losses = [{"epoch": i, "iters": 1, "time": 0.1, "data": 0.1, "G": 1.0} for i in (1, 2, 3)]
    (run / "losses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in losses))
    cost = {"macs": 1e9, "macs_exact": 1e9, "params": 1e6, "latency_ms": 1.0}
    searched = work / "results/super/val_latest/metrics.json"
    searched.parent.mkdir(parents=True)
    searched.write_text(json.dumps({
        "name": "super", "run": TWO, "protocol": {}, "images": {"student": 7},
        "metrics": {"student": {"L1": 0.5}}, "networks": {"student": cost}}))

    def report(options, supernet_run):
        (run / "train_opt.json").write_text(json.dumps(options))
        path = folder / "metrics.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "supernet_run": supernet_run}))
        call("evaluate", work, "--results", folder, "--metrics", "L1")
        return (work / "results/net/report.html").read_text()

    page = report({"run": ONE, "supernet": "super"}, TWO)
    assert "<td>after search</td>" in page.replace("\n", "").replace("  ", "")
    assert "another run" not in page
    assert "<h2>Training</h2>" in page
    page = report({"run": ONE, "supernet": "super"}, ONE)
    assert "The results of super are of another run" in page
    assert "after search</td>" not in page
    page = report({"run": TWO, "supernet": "super"}, TWO)
    assert f"{run} holds another run" in page
    assert "<h2>Training</h2>" not in page
    assert "after search</td>" not in page


def printed_images(out):
    """The number of images in the first row of the table that a command printed."""
    lines = [line.split() for line in out.splitlines()]
    row = next(i for i, words in enumerate(lines) if words[:2] == ["network", "images"])
    return lines[row + 1][1]


def test_every_table_has_the_number_of_images(work):
    out, _ = run_model("test", work, "--num_test", "1")
    assert printed_images(out) == "1"
    out, _ = run_model("evaluate", work, "--metrics", "L1")
    assert printed_images(out) == "2"
    folder = work / "results/net/val_latest"
    record = json.loads((folder / "metrics.json").read_text())
    assert record["images"]["fake_B"] == 2
    for page in (folder / "index.html", folder.parent / "report.html"):
        text = page.read_text()
        cells = [cell.partition("<")[0] for cell in text[text.index("<table"):].split("<td>")[1:3]]
        assert cells[1] == "2"


def test_values_of_other_numbers_of_images_are_not_kept(work):
    run_model("evaluate", work, "--metrics", "L1")
    folder = work / "results/net/val_latest"
    for path in (folder / "images").glob("1_*"):
        path.unlink()
    call("evaluate", work, "--results", folder, "--metrics", "PSNR")
    record = json.loads((folder / "metrics.json").read_text())
    assert set(record["metrics"]["fake_B"]) == {"PSNR"}
    assert record["images"]["fake_B"] == 1

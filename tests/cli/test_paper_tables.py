"""benchmarks/paper_tables.py: the tables of the paper next to the results of a folder of runs."""
import json
import re

import pytest

from commands import run
from modules import load_module
from paths import ROOT

find_runs = load_module(ROOT / "benchmarks" / "paper_tables.py").find_runs


def add_run(folder, name, metrics, macs, dataroot="datasets/cityscapes_pix2pix", original=None, **settings):
    """Write the files of a run that was trained and evaluated."""
    opt = {"model": "ugc_distill", "dataroot": dataroot, "netG": "unet_256", "label_ratio": 0.25,
           "teachers": "multi", "adf": "consistency", "seed": 0, **settings}
    cost = {"macs": macs, "macs_exact": macs // 3, "params": 2_000_000, "latency_ms": 1.0}
    report = {"networks": {"student": cost, "original": cost},
              "metrics": {"student": metrics, "original": original or {}}}
    for path, content in ((folder / "checkpoints" / name / "train_opt.json", opt),
                          (folder / "results" / name / "val_latest" / "metrics.json", report)):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))


def tables(folder, *flags):
    return run("benchmarks/paper_tables.py", "--checkpoints_dir", folder / "checkpoints",
               "--results_dir", folder / "results", *flags).stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed, score in enumerate((47.0, 48.0, 50.0)):
        add_run(folder, f"unet{seed}", {"mIoU": score}, 1_235_000_000, seed=seed)
    add_run(folder, "other_rule", {"mIoU": 40.0}, 1_235_000_000, adf="discriminator")
    add_run(folder, "no_adf", {"mIoU": 46.5}, 1_235_000_000, adf="off")
    add_run(folder, "wide", {"mIoU": 45.5}, 1_235_000_000, teachers="wide")
    add_run(folder, "elsewhere", {"FD(segmenter-12345678)": 3.5}, 1_206_000_000, "datasets/edges2shoes",
            label_ratio=0.5)
    add_run(folder, "camvid", {"mIoU": 30.25}, 1_100_000_000, "datasets/camvid", {"mIoU": 33.5})
    return folder


def row(tables, title, **values):
    """The only row with these values of the table with this title."""
    table = next(rows for name, rows in tables.items() if title in name)
    rows = [row for row in table if all(row[column] == value for column, value in values.items())]
    assert len(rows) == 1, rows
    return rows[0]


def test_seeds_are_one_row_with_mean_and_spread(runs):
    document = json.loads(tables(runs, "--json"))
    # mean 48.33, sample deviation sqrt((1.33^2 + 0.33^2 + 1.67^2) / 2)
    cell = row(document, "Table 1", **{"labels": "25 %", "original": "unet", "paper MACs (G)": "1.235"})
    assert cell["our score"] == "48.33 ± 1.53 (3 seeds)"
    assert cell["our MACs (G)"] == "1.235"
    assert cell["paper score"] == "mIoU 48.5"
    ablation = row(document, "Table 3", method="UGC", **{"data set": "cityscapes (mIoU)"})
    assert ablation["our 25 %"] == "48.33 ± 1.53 (3 seeds)"
    other = json.loads(tables(runs, "--json", "--adf", "discriminator"))
    ablation = row(other, "Table 3", method="UGC", **{"data set": "cityscapes (mIoU)"})
    assert ablation["our 25 %"] == "40.00 (1 seed)"


def test_ablations_are_assigned_to_their_rows(runs):
    document = json.loads(tables(runs, "--json"))
    without_filter = row(document, "Table 3", method="UGC w/o ADF", **{"data set": "cityscapes (mIoU)"})
    assert without_filter["our 25 %"] == "46.50 (1 seed)"
    wide = row(document, "Table 4", method="Wide Teacher", **{"data set": "cityscapes (mIoU)"})
    assert wide["our 25 %"] == "45.50 (1 seed)"


def test_rows_that_were_not_run_or_not_measured_are_marked(runs):
    document = json.loads(tables(runs, "--json"))
    unet = row(document, "Table 1", **{"labels": "10 %", "original": "unet", "paper MACs (G)": "1.229"})
    assert unet["our score"] == "not run"
    shoes = row(document, "Table 2", **{"labels": "50 %", "original": "unet", "paper MACs (G)": "1.206"})
    assert shoes["our score"] == "run, FID not computed"  # a distance on other features is not an FID


def test_all_rows_of_the_paper_are_there_and_own_data_follow(runs):
    text = tables(runs)
    assert text.count("| cityscapes") + text.count("| edges2shoes") == 4 + 8  # Tables 3 and 4
    assert len(re.findall(r"\| mIoU \d", text)) == 24
    assert len(re.findall(r"\| FID \d", text)) == 12
    assert "| camvid | unet |  | original |" in text
    assert "33.50 (1 seed)" in text
    assert "30.25 (1 seed)" in text


@pytest.mark.parametrize(("file", "change", "message"), [
    ("metrics.json", {"networks": {"student": {"macs": "many"}}}, "'networks.student.macs' must be a number"),
    ("metrics.json", {"metrics": {"student": {"mIoU": None}}}, "'metrics.student.mIoU' must be a number"),
    ("train_opt.json", {"label_ratio": "0.25"}, "'label_ratio' must be a number, got '0.25'"),
    ("train_opt.json", {"netG": ["unet_256"]}, "'netG' must be text, got list"),
    ("train_opt.json", {"netG": "vgg"}, "'netG' must be one of"),
    ("train_opt.json", {"dataroot": 3}, "'dataroot' must be text or null, got 3")])
def test_files_of_other_content_are_named(tmp_path, file, change, message):
    add_run(tmp_path, "run", {"mIoU": 47.0}, 1_235_000_000)
    (path,) = tmp_path.rglob(file)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=f"{file}: {message}"):
        find_runs(tmp_path / "checkpoints", tmp_path / "results", "val_latest")


def test_missing_results_end_in_one_error_line(tmp_path):
    done = run("benchmarks/paper_tables.py", "--results_dir", tmp_path / "none", status=2)
    assert done.stderr.startswith("error: --results_dir")

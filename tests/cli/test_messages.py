"""What commands print and write for a person: help, suggestions, small numbers, and pages."""
import re
import subprocess
import sys

import pytest
import torch

from commands import run_here
from compression.metrics import ImageMetrics
from compression.runtime.text import giga
from compression.search.latency import conditions
from options.evaluate_options import EvaluateOptions
from options.train_options import TrainOptions
from paths import ROOT
from util import entry
from util.html import HTML
from util.report import latency_remark
from util.report_plots import _plot_losses
from util.tables import results_table


def test_help_does_not_demand_a_required_flag(capsys):
    with pytest.raises(SystemExit) as stop:
        TrainOptions().parse(["--model", "ugc_distill", "--help"])
    assert stop.value.code == 0
    assert "--supernet" in capsys.readouterr().out
    with pytest.raises(ValueError, match="required: --supernet"):
        TrainOptions().parse(["--model", "ugc_distill"])


def test_a_mistyped_flag_is_answered_with_a_similar_one():
    with pytest.raises(ValueError, match=r"arguments: --crop_sise 8; did you mean --crop_size\?"):
        TrainOptions().parse(["--crop_sise", "8"])
    with pytest.raises(ValueError, match="unrecognized arguments: --qqqq$"):
        TrainOptions().parse(["--qqqq"])


@pytest.mark.parametrize(("macs", "text"), [(56_799_264_768, "56.799"), (236_000_000, "0.236"), (0, "0.000"),
                                            (5_959_680, "0.00596"), (26_123_000, "0.0261"), (900, "9e-07")])
def test_a_small_budget_is_not_printed_as_zero(macs, text):
    assert giga(macs) == text


def test_a_page_stops_reloading_when_the_training_ends(tmp_path):
    page = HTML(tmp_path, "t", refresh=10)
    page.save()
    assert 'http-equiv="refresh"' in (tmp_path / "index.html").read_text()
    page.stop_refreshing()
    assert 'http-equiv="refresh"' not in (tmp_path / "index.html").read_text()
    flags = ["--ngf", 4, "--ndf", 4, "--load_size", 32, "--crop_size", 32, "--netG", "resnet_6blocks",
             "--toy_train_images", 2, "--n_epochs", 1, "--n_epochs_decay", 0, "--num_threads", 0,
             "--display_freq", 1, "--gpu_ids", -1, "--checkpoints_dir", tmp_path, "--name", "r"]
    run_here("train", *flags)
    written = (tmp_path / "r/web/index.html").read_text()
    assert "epoch001_fake_B.png" in written
    assert 'http-equiv="refresh"' not in written


def test_a_plot_shows_the_six_largest_losses():
    means = {f"l{i}": [1.0, float(i)] for i in range(9)}
    svg, caption = _plot_losses([1, 2], means, list(means))
    assert [name for name in means if f"<!-- {name} -->" in svg] == ["l3", "l4", "l5", "l6", "l7", "l8"]
    assert "the 3 smaller ones" in caption


def test_the_shared_pipeline_says_how_to_use_it():
    done = subprocess.run(["bash", ROOT / "scripts/pipeline.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: this file only holds the stages")


def test_the_installer_survives_a_reader_that_ends():
    script = f"{sys.executable} scripts/install_plugin.py --help | true; exit ${{PIPESTATUS[0]}}"
    host = f"{sys.executable} scripts/install_plugin.py tests/helpers/hosts/common --dry-run | true"
    for line in (script, host):
        done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False)
        assert "Broken pipe" not in done.stderr
        assert "Traceback" not in done.stderr


def test_small_images_keep_the_metrics_that_have_no_window():
    metrics = ImageMetrics()
    metrics.update(torch.full((1, 3, 8, 20), 1.0), torch.full((1, 3, 8, 20), -1.0))
    assert metrics.compute() == {"L1": 1.0, "PSNR": 0.0}
    metrics.update(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16))
    assert metrics.compute() == {"L1": 0.5, "PSNR": 50.0}


def test_small_networks_do_not_cost_zero_in_the_table():
    cost = {"macs": 123_456, "macs_exact": 120_000, "params": 2_000, "latency_ms": 1.0}
    _, (row,) = results_table({"student": cost}, {}, {})
    assert row[2:4] == ["0.000123", "0.00012"]


def test_only_changed_options_are_printed_and_all_with_verbose(tmp_path, capsys):
    flags = ["--model", "pix2pix", "--checkpoints_dir", str(tmp_path), "--name", "r", "--ngf", "8"]

    def options():
        return [line.split(":")[0].strip() for line in capsys.readouterr().out.splitlines()
                if re.match(r" +\w+: ", line)]

    opt = TrainOptions().parse(flags)
    few = options()
    assert {"ngf", "name", "checkpoints_dir"} <= {*few}
    assert not {"ndf", "lr", "netD"} & {*few}
    assert not {"isTrain", "printed", "settings"} & {*few}, "these are no flags"
    assert re.search(r"^ +ndf: \d+ ", opt.printed, re.MULTILINE)
    TrainOptions().parse([*flags, "--verbose"])
    assert {"ngf", "ndf", "lr", "netD"} <= {*options()}


def test_evaluate_refuses_files_without_targets():
    with pytest.raises(ValueError, match="--input: evaluate.py scores .*; test.py translates files"):
        EvaluateOptions().parse(["--name", "mine", "--input", "photo.png"])


def test_warnings_of_this_code_are_one_line_without_its_place():
    ours = entry.format_warning("few images\x1b", UserWarning, str(ROOT / "compression/a.py"), 3)
    assert ours == "warning: few images\\x1b\n"
    torchs = entry.format_warning("slow", UserWarning, str(ROOT / ".venv/lib/site-packages/torch/a.py"), 3)
    assert "torch/a.py:3: UserWarning: slow" in torchs


def test_the_report_marks_latencies_of_different_measurements():
    old = {"macs": 1, "macs_exact": 1, "params": 1, "latency_ms": 2.0}
    new = {**old, "size": [8, 8], "device": "cpu", "machine": "box", "threads": 4, "date": "2026-01-02 03:04"}
    text = latency_remark({"networks": {"student": new}}, {"networks": {"student": old}})
    assert "box (cpu, 4 threads, 2026-01-02 03:04)" in text
    assert "search was measured on machine unknown (device unknown, threads unknown, date unknown)" in text
    assert not latency_remark({"networks": {"student": new}}, None)
    measured = conditions(torch.device("cpu"))
    assert measured["device"] == "cpu"
    assert measured["threads"] == torch.get_num_threads()

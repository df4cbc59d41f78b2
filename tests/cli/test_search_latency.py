"""search.py --latency_ms: candidates are limited by predictions from sub-networks measured on this device."""
import json

import pytest

import compression.search.latency_table as latency_table
import util.latency_budget as latency_budget
from commands import run_here


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with the run of a supernet that was trained for a budget of MACs."""
    folder = tmp_path_factory.mktemp("runs")
    tiny = ["--netG", "resnet_6blocks", "--ngf", 8, "--ndf", 4, "--load_size", 32, "--crop_size", 32]
    toy = ["--toy_train_images", 12, "--n_epochs", 1, "--n_epochs_decay", 0, "--no_html", "--gpu_ids", -1]
    run_here("train", "--model", "ugc_supernet", "--name", "net", "--checkpoints_dir", folder, *tiny, *toy,
             "--macs", "6M")
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(latency_table, "_SECONDS", 0.01)
    monkeypatch.setattr(latency_table, "_REFERENCE_SECONDS", 0)
    monkeypatch.setattr(latency_table, "GENERAL", 5)
    monkeypatch.setattr(latency_budget, "NEAR", 2)


def search(runs, *arguments, status=0):
    flags = ["--population", 4, "--generations", 1, "--search_images", 1, "--threads", 1]
    return run_here("search", "--name", "net", "--checkpoints_dir", runs, *flags, *arguments, status=status)


def test_a_search_by_latency(runs):
    output, _ = search(runs, "--latency_ms", 1000, "--latency_runtime", "torch", "--least_share", 0)
    folder = runs / "net/search"
    assert "budgets: student 1000 ms, teachers" in output
    assert "latency: one image in torch" in output
    student = json.loads((folder / "student.json").read_text(encoding="utf-8"))
    assert student["latency"]["budget_ms"] == 1000
    assert student["latency"]["measured_ms"] > 0
    assert f"student: {student['latency']['measured_ms']:.2f} ms measured" in output
    pareto = json.loads((folder / "pareto.json").read_text(encoding="utf-8"))
    times = [point["latency_ms"] for point in pareto["latency_front"]]
    assert times == sorted(times)
    assert pareto["front"]
    # a second search uses the table
    table = (folder / "latency_torch_1.json").read_text(encoding="utf-8")
    output, _ = search(runs, "--latency_ms", 1000, "--least_share", 0, "--macs", "6M")
    assert (folder / "latency_torch_1.json").read_text(encoding="utf-8") == table
    assert "budgets: student 0.006 G MACs and 1000 ms" in output
    # a table of another device is measured again
    (folder / "latency_torch_1.json").write_text(table.replace('"device": "', '"device": "not '),
                                                 encoding="utf-8")
    output, _ = search(runs, "--latency_ms", 1000, "--least_share", 0)
    assert "the table of latencies is of other conditions (device 'not " in output
    assert "so it is measured again" in output


def test_a_continued_search_keeps_its_table(runs, monkeypatch):
    """Measurements near the budget would change the predictions in the middle of the search."""
    folder = runs / "net/search"
    table = json.loads((folder / "latency_torch_1.json").read_text(encoding="utf-8"))
    search(runs, "--latency_ms", max(row[1] for row in table["rows"]), "--least_share", 0)
    state, table = folder / "state.json", (folder / "latency_torch_1.json").read_text(encoding="utf-8")
    state.write_text(state.read_text(encoding="utf-8").replace('"written": true', '"written": false'),
                     encoding="utf-8")
    monkeypatch.setattr(latency_budget, "NEAR", 6)
    search(runs, "--continue_train")
    assert (folder / "latency_torch_1.json").read_text(encoding="utf-8") == table


def test_a_budget_below_the_fastest_names_it(runs):
    _, error = search(runs, "--latency_ms", 0.0001, status=2)
    assert "--latency_ms 0.0001: the fastest sub-network takes" in error
    assert "ms in torch with 1 thread on" in error


def test_flags_of_the_latency_need_a_budget(runs):
    _, error = search(runs, "--latency_runtime", "openvino", status=2)
    assert "--latency_runtime openvino measures nothing without --latency_ms" in error

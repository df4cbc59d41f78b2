"""Latencies of sub-networks: the table, the model that predicts others, and an evolution under a budget."""
from types import SimpleNamespace

import numpy as np
import pytest

import compression.search.latency_table as latency_table
from compression import CostModel, SearchSpace
from compression.checkpoints.files import read_json, write_json
from compression.elastic.families import full_arch
from compression.elastic.registry import FAMILIES
from compression.runtime import timing
from compression.search.evolution import Evolution, LatencyLimit, pareto_front
from compression.search.latency_model import LatencyModel
from compression.search.latency_table import LatencyTable, LatencyTarget


def space_of(family, ngf=16, size=(64, 64)):
    family = FAMILIES[family]
    return (SearchSpace.of(full_arch(next(iter(family.full)), ngf), ngf),
            CostModel(size, family.input_nc, 3, family.norm))


def draw(space, count, seed=0):
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys(space.draw(rng, rng.uniform(0, 10)) for _ in range(count)))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(latency_table, "_SECONDS", 0)
    monkeypatch.setattr(latency_table, "_REFERENCE_SECONDS", 0)
    monkeypatch.setattr(timing, "_MIN_CALLS", 1)
    monkeypatch.setattr(timing, "_WARM_UP", 1)


@pytest.mark.parametrize("family", ["resnet", "unet", "spade"])
def test_predictions_of_a_runtime_that_fills_vectors(family):
    space, cost_model = space_of(family, size=(256, 256))
    archs = draw(space, 60)
    # a time per multiplication, and per layer; channels are rounded up to 16 by the runtime
    padded = [arch.with_widths(tuple(-(-width // 16) * 16 for width in arch.widths)) for arch in archs]
    milliseconds = cost_model(padded)[:, 1] / 1e8 + 0.1 * np.array([len(arch.widths) for arch in archs])
    model = LatencyModel(cost_model, archs[:40], milliseconds[:40])
    errors = np.abs(model(archs[40:]) / milliseconds[40:] - 1)
    assert np.median(errors) < 0.1
    assert model.median_error < 0.1
    assert (model(archs) > 0).all()


def test_a_table_is_kept_and_resumed(tmp_path, quick, monkeypatch):
    space, cost_model = space_of("resnet", 8, (32, 32))
    target = LatencyTarget("torch", 1)
    path = tmp_path / "latency.json"
    table = LatencyTable(space, cost_model, target, path)
    archs = table.general(5)
    assert archs[0] == space.smallest
    assert len(archs) == 6
    limit = cost_model.macs([space.largest])[0] / 4
    assert (cost_model.macs(archs) <= limit).all()
    with pytest.raises(KeyboardInterrupt):
        table.measure(archs, progress=lambda: interrupt_after(table, 3))
    resumed = LatencyTable(space, cost_model, target, path)
    assert resumed.load() == []
    assert resumed.archs == archs[:3]
    before = dict(resumed.rows)
    resumed.measure(archs)
    assert resumed.archs == archs
    assert all(resumed.rows[arch] == times for arch, times in before.items())
    assert (resumed.milliseconds > 0).all()


def interrupt_after(table, count):
    if len(table.rows) == count:
        raise KeyboardInterrupt


def test_tables_of_other_conditions_are_not_used(tmp_path, quick):
    space, cost_model = space_of("resnet", 8, (32, 32))
    path = tmp_path / "latency.json"
    table = LatencyTable(space, cost_model, LatencyTarget("torch", 1), path)
    table.measure(table.general(1))
    saved = read_json(path)
    saved["conditions"]["device"] = "another processor"
    write_json(path, saved)
    other = LatencyTable(space, cost_model, LatencyTarget("torch", 2), path)
    assert [text.split()[0] for text in other.load()] == ["device", "threads"]
    assert "another processor" in other.load()[0]
    assert not other.rows
    for damaged in ({"conditions": table.conditions, "rows": [[{}, 1, 1]]}, {"rows": []},
                    {"conditions": table.conditions, "rows": [[space.smallest.to_json(), -1, 1]]}):
        write_json(path, damaged)
        with pytest.raises(ValueError, match="delete it to measure again"):
            LatencyTable(space, cost_model, LatencyTarget("torch", 1), path).load()


def test_the_reference_network_corrects_a_slow_machine():
    space, cost_model = space_of("resnet", 8, (32, 32))
    table = LatencyTable(space, cost_model, LatencyTarget("torch", 1))
    archs = draw(space, 40)[:10]
    slowdown = np.array([1, 1, 1, 1, 2.5, 2.5, 1, 1, 3, 1])
    table.rows = {arch: (7.0 * slow, 2.0 * slow) for arch, slow in zip(archs, slowdown, strict=True)}
    np.testing.assert_allclose(table.milliseconds, 7.0)


@pytest.mark.parametrize(("disturbed", "expected"), [
    ([], (7.0, 2.0)),
    ([2], (7.0, 2.0)),  # a measurement of the reference network, after which the second attempt counts
    ([0, 3], (7.0, 2.0)),
    (range(99), (21.0, 6.0))])  # all the time: the correction is for a slowdown that lasts
def test_a_disturbed_measurement_is_repeated(disturbed, expected, monkeypatch):
    space, cost_model = space_of("resnet", 8, (32, 32))
    table = LatencyTable(space, cost_model, LatencyTarget("torch", 1))
    others = draw(space, 40)[:10]
    table.rows = dict.fromkeys(others, (5.0, 2.0))
    measured = []

    def median_ms(run, seconds):
        measured.append(run)
        milliseconds = 2.0 if run is table._reference else 7.0
        return milliseconds * (3 if len(measured) - 1 in disturbed else 1)

    monkeypatch.setattr(latency_table, "median_ms", median_ms)
    monkeypatch.setattr(LatencyTable, "_open", lambda self, arch: lambda: arch)
    table.measure([space.smallest])
    assert table.rows[space.smallest] == expected
    assert table.milliseconds[-1] == pytest.approx(7.0)


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_measurements_of_each_runtime(runtime, quick):
    pytest.importorskip(runtime)
    space, cost_model = space_of("unet", 4, (256, 256))
    table = LatencyTable(space, cost_model, LatencyTarget(runtime, 1))
    table.measure([space.smallest])
    assert table.milliseconds[0] > 0
    assert table.conditions["runtime"] == runtime


def test_candidates_meet_the_budget_of_latency():
    space, cost_model = space_of("resnet", 64, (256, 256))

    def predict(archs):  # the first layer decides
        return np.array([arch.stem[0] + cost_model.macs([arch])[0] / 1e9 for arch in archs])

    limit = LatencyLimit(predict, most=20, least=16)
    evolution = Evolution(space, cost_model, cost_model.cost(space.largest)["macs"], population=8,
                          min_macs=10 ** 12, latency=limit)
    for _ in range(3):
        archs = evolution.ask()
        assert len(archs) == 8
        times = predict(archs)
        assert ((times >= 16) & (times <= 20)).all()
        evolution.tell(dict(zip(archs, times, strict=True)))
    both = Evolution(space, cost_model, 2 * 10 ** 9, population=8, min_macs=10 ** 9, latency=limit).ask()
    assert len(both) == 8
    for arch, milliseconds, macs in zip(both, predict(both), cost_model.macs(both), strict=True):
        assert milliseconds <= 20
        assert macs <= 2 * 10 ** 9
        assert milliseconds >= 16 or macs >= 10 ** 9, arch


def test_the_front_over_latency():
    archs = [SimpleNamespace(time=time) for time in (1.0, 2.0, 3.0)]
    scores = dict(zip(map(id, archs), (0.3, 0.4, 0.1), strict=True))
    times = {id(arch): arch.time for arch in archs}
    front = pareto_front(scores, lambda keys: np.array([times[key] for key in keys]))
    assert [(cost, score) for _, cost, score in front] == [(1.0, 0.3), (3.0, 0.1)]

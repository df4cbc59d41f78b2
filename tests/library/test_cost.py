"""Costs are compared with published values, closed formulas and PyTorch's FLOP counter."""
import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from commands import run
from compression import Arch, CostModel, build_generator, cost, parse_macs
from compression.elastic.families import full_arch
from compression.elastic.registry import FAMILIES
from paths import FIXTURES, SHARED

FIXTURE = json.loads((FIXTURES / "costs.json").read_text())
PAPER = SHARED / "paper"
KEYS = ("macs", "macs_exact", "params")


def size_of(text):
    return tuple(int(side) for side in text.split("x"))


@pytest.mark.parametrize("case", FIXTURE["cases"], ids=lambda c: f"{c['arch']['family']}-{c['macs']}")
def test_costs_equal_the_reference_cases(case):
    costs = cost(Arch.from_json(case["arch"]), size_of(case["size"]), norm=case["norm"])
    assert costs == {key: case[key] for key in KEYS}


@pytest.mark.parametrize("row", FIXTURE["rows"], ids=lambda r: f"{r['arch']['family']}-{r['macs']}")
def test_published_architectures_have_the_published_costs(row):
    assert cost(Arch.from_json(row["arch"])) == {k: row[k] for k in KEYS}


def test_costs_equal_all_reference_cases_of_registered_families():
    if not PAPER.is_dir():
        pytest.skip(f"{PAPER} does not exist; tests/fixtures/costs.json holds some of its cases")
    cases = [c for c in json.loads((PAPER / "costs.json").read_text())["cases"]
             if c["arch"]["family"] in FAMILIES]
    assert cases
    for case in cases:
        costs = cost(Arch.from_json(case["arch"]), size_of(case["size"]), norm=case["norm"])
        assert costs == {key: case[key] for key in KEYS}, case


@pytest.mark.parametrize("netG", [name for family in FAMILIES.values() for name in family.full])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_exact_macs_equal_torchs_counter_and_params_those_of_the_network(netG, norm):
    net = build_generator(netG, 2, 1, 5, norm).eval()
    size = (net.stride * max(2, 32 // net.stride), 2 * net.stride * max(2, 32 // net.stride))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 2, *size))
    costs = cost(net.full, size, 2, 1, norm)
    assert costs["macs_exact"] * 2 == counter.get_total_flops()
    assert costs["params"] == sum(p.numel() for p in net.parameters())


def test_transposed_convolutions_differ_by_the_closed_formula():
    costs = cost(full_arch("resnet_9blocks", 64), (256, 256), norm="instance")
    # two 3x3 transposed convolutions, charged at their output size
    up = 9 * (256 * 128 * 128 ** 2 + 128 * 64 * 256 ** 2)
    assert costs["macs"] - costs["macs_exact"] == up - up // 4


def test_the_costs_of_a_list_equal_those_of_its_members():
    archs = [Arch.from_json(row["arch"]) for row in FIXTURE["rows"]]
    model = CostModel(norm="batch")
    assert model(archs).tolist() == [list(model.cost(arch).values()) for arch in archs]


def test_the_command_prints_costs_as_json(tmp_path):
    row = FIXTURE["rows"][0]
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(row["arch"]))
    command = ["-m", "compression.cost", "--arch", path, "--size", "256x256"]
    done = run(*command)
    assert json.loads(done.stdout) == {**{k: row[k] for k in KEYS}, "size": [256, 256], "norm": "batch",
                                       "input_nc": 3, "output_nc": 3}
    assert not done.stderr
    instance = json.loads(run(*command, "--norm", "instance", "--input_nc", "1").stdout)
    assert instance["macs"] == row["macs"] - 2 * 49 * row["arch"]["stem"][0] * 256 ** 2


@pytest.mark.parametrize(("text", "message"),
                         [("{}", "'family'"), ('{"family": "vgg"}', "unknown family 'vgg'"),
                          ("no json", "cannot read"), ('{"family": "resnet"}', "missing"),
                          ('{"family": "unet", "encoder": [8], "decoder": []}', "at least 5")])
def test_errors_of_the_command_name_the_file(tmp_path, text, message):
    path = tmp_path / "arch.json"
    path.write_text(text)
    done = run("-m", "compression.cost", "--arch", path, status=2)
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert str(path) in done.stderr


@pytest.mark.parametrize(("text", "value"), [("1.3G", 1_300_000_000), ("800m", 800_000_000), ("12K", 12_000),
                                             ("5", 5), (7, 7)])
def test_budgets_are_parsed_with_suffixes(text, value):
    assert parse_macs(text) == value


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "1.3X", "nan"])
def test_bad_budgets_are_refused(text):
    with pytest.raises(ValueError, match="budget"):
        parse_macs(text)

"""The command of the cost model measures each kind of file with its own norm, channels and size."""
import json
import shutil

import pytest
import torch

from commands import run
from compression import build_generator, save_student
from compression.cost import main
from paths import FIXTURES


def measured(capsys, monkeypatch, *arguments):
    """The JSON that ``python -m compression.cost ARGUMENTS`` prints."""
    monkeypatch.setattr("sys.argv", ["cost", *map(str, arguments)])
    assert main() == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, monkeypatch, *arguments):
    """Its one line of error."""
    monkeypatch.setattr("sys.argv", ["cost", *map(str, arguments)])
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.fixture
def gray(tmp_path):
    """A batch-norm student of one channel, its file, and that of an original with the same weights."""
    net = build_generator("resnet_6blocks", 1, 2, ngf=4, norm="batch", no_dropout=True)
    save_student(tmp_path / "student.pth", net, size=[16, 24])
    torch.save(net.state_dict(), tmp_path / "original.pth")
    return tmp_path, net


def test_checkpoints_have_their_own_norm_channels_and_size(gray, capsys, monkeypatch):
    folder, net = gray
    student = measured(capsys, monkeypatch, folder / "student.pth", "--latency")
    original = measured(capsys, monkeypatch, folder / "original.pth", "--size", "16x24")
    for row in (student, original):
        assert row["params"] == parameters(net)  # with the weights of the batch norms
        assert (row["size"], row["norm"], row["input_nc"], row["output_nc"]) == ([16, 24], "batch", 1, 2)
    assert student["macs"] == original["macs"]
    stem, head = 49 * 16 * 24 * 1 * 4, 49 * 16 * 24 * 4 * 2
    down = 9 * (8 * 12 * 4 * 8 + 4 * 6 * 8 * 16)
    trunk = 6 * 2 * 9 * 4 * 6 * 16 * 16
    up = 9 * (8 * 12 * 16 * 8 + 16 * 24 * 8 * 4)  # transposed convolutions, at their output size
    assert student["macs"] == stem + down + trunk + up + head
    assert student["latency_ms"] > 0
    assert student["device"] in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["resnet9_instance", "unet128_batch_dropout", "spade_generator_normal"])
def test_upstream_checkpoints_need_no_flags(name, capsys, monkeypatch):
    (path,) = list((FIXTURES / "upstream" / name).glob("*G*.pth"))
    state = torch.load(path, weights_only=True)
    arguments = ["--num_upsampling_layers", "normal"] if name.startswith("spade") else []
    row = measured(capsys, monkeypatch, path, *arguments)
    trained = [key for key in state if key.endswith(("weight", "bias", "weight_orig"))]
    assert row["params"] == sum(state[key].numel() for key in trained)


def test_results_of_a_search_record_their_network(gray, capsys, monkeypatch):
    folder, net = gray
    cost = {"macs": 1, "params": 2, "size": [16, 24]}
    network = {"input_nc": 1, "output_nc": 2, "norm": "batch"}
    path = folder / "student.json"
    path.write_text(json.dumps({"arch": net.full.to_json(), **cost, "network": network}))
    row = measured(capsys, monkeypatch, path)
    assert row == measured(capsys, monkeypatch, folder / "student.pth")
    assert measured(capsys, monkeypatch, path, "--size", "32x24")["macs"] == 2 * row["macs"]
    path.write_text(json.dumps({"arch": net.full.to_json(), **cost}))  # of an earlier version
    assert "does not record the network" in refused(capsys, monkeypatch, path)
    given = ["--norm", "batch", "--input_nc", "1", "--output_nc", "2", "--size", "16x24"]
    assert measured(capsys, monkeypatch, path, *given) == row


def test_files_that_hold_no_network_are_refused(gray, capsys, monkeypatch):
    folder, net = gray
    assert "asked: instance" in refused(capsys, monkeypatch, folder / "student.pth", "--norm", "instance")
    line = refused(capsys, monkeypatch, folder / "original.pth", "--norm", "instance")
    assert "asked: --norm instance" in line
    assert "no such checkpoint" in refused(capsys, monkeypatch, folder / "missing.pth")
    assert "expected one file" in refused(capsys, monkeypatch)
    assert "error: " in refused(capsys, monkeypatch, "")
    assert "unrecognized arguments: --late" in refused(capsys, monkeypatch, "--late", folder / "student.pth")
    shutil.copy(folder / "student.pth", folder / "copy.json")
    assert "copy.json" in refused(capsys, monkeypatch, folder / "copy.json")
    wrong = [("size", [16]), ("size", [16, "24"]), ("network", {"norm": "batch"}), ("network", [1]),
             ("network", {"input_nc": True, "output_nc": 1, "norm": "batch"}),
             ("network", {"input_nc": 1, "output_nc": 1, "norm": "batch", "z_dim": 3})]
    for name, entry in wrong:
        (folder / "bad.json").write_text(json.dumps({"arch": net.full.to_json(), name: entry}))
        assert f"bad.json: its entry '{name}'" in refused(capsys, monkeypatch, folder / "bad.json")


def test_an_error_of_the_measurement_names_the_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"family": "resnet", "stem": [8, 8], "trunk": 8, "inner": [8] * 1000,
                                "decoder": [8, 8]}))
    assert refused(capsys, monkeypatch, path) == (f"error: {path}: an architecture has at most 61 widths, "
                                                  "got 1005")


def test_an_import_of_the_module_keeps_the_function_of_the_api():
    code = ("import compression.cost; from compression import Arch, cost; "
            "arch = Arch('resnet', stem=(8, 16), trunk=16, inner=(16, 16, 16), decoder=(16, 8)); "
            "print(cost(arch, (64, 64))['macs'] == 22_020_096)")
    assert run("-c", code).stdout == "True\n"

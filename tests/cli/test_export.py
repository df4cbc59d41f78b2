"""export.py: files of all formats with their measurements, and messages about wrong settings."""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands import run_here
from compression import build_generator, load_student, save_student, translate
from compression.deploy.interface import Interface
from compression.deploy.runtimes import open_session
from paths import ROOT

LABELS = {"netG": "pix2pixhd", "label_nc": 3, "contain_dontcare_label": True, "no_instance": False,
          "input_nc": 3, "output_nc": 3, "direction": "AtoB", "preprocess": "none", "load_size": 32,
          "crop_size": 32, "aspect_ratio": 1.0}
TOY = ["--dataset_mode", "toy", "--gpu_ids", -1, "--toy_test_images", 3, "--toy_train_images", 6]


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch):
    monkeypatch.setattr("util.exporting.LATENCY_SECONDS", 0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two students, of photos and of label maps, and inputs of the latter."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    net = build_generator("resnet_6blocks", 3, 3, 4, "batch", False).eval()
    save_student(folder / "photos.pth", net, run="a" * 32)
    net = build_generator("pix2pixhd", 5, ngf=4, n_downsample_global=2, n_blocks_global=1).eval()
    save_student(folder / "labels.pth", net, input=LABELS)
    rng = np.random.default_rng(0)
    for kind in ("ids", "instances"):
        (folder / kind).mkdir()
        for name in ("a", "b"):
            ids = rng.choice([0, 1, 2, 255], (20, 28)).astype(np.uint8)
            Image.fromarray(ids).save(folder / kind / f"{name}.png")
    return folder


def export(folder, student, *flags, status=0):
    return run_here("export", "--student", folder / student, "--checkpoints_dir", folder, *flags,
                    status=status)


def test_a_student_is_exported_with_measurements(folder):
    out, _ = export(folder, "photos.pth", *TOY, "--output", folder / "photos.onnx")
    record = json.loads((folder / "photos.json").read_text())
    assert record["passed"]
    assert record["comparison"]["images"] == 3
    assert record["comparison"]["max_error"] < 1e-3
    assert record["bytes"] == (folder / "photos.onnx").stat().st_size
    assert record["latency"]["size"] == [64, 64]
    net = load_student(folder / "photos.pth")
    params = sum(parameter.numel() for parameter in net.parameters())
    metadata = record["metadata"]
    assert (metadata["params"], metadata["run"], metadata["norm"]) == (params, "a" * 32, "batch")
    assert metadata["color_order"] == {"input": "RGB", "output": "RGB"}
    assert metadata["batch_norm"].startswith("running statistics")
    assert metadata["dropout"] == "none"
    session = open_session(folder / "photos.onnx")
    assert session.metadata == metadata
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    interface = Interface.from_metadata(metadata)
    np.testing.assert_allclose(interface.image(session(*interface.arrays(x))), translate(net, x), atol=1e-3)
    assert "onnxruntime fp32" in out
    assert "PyTorch, eager fp32" in out


def test_label_maps_are_encoded_in_the_file(folder):
    export(folder, "labels.pth", "--input", folder / "ids", "--input_instance", folder / "instances",
           "--gpu_ids", -1, "--format", "torchscript", "--input_values", "ids", "--output_values", "uint8",
           "--dynamic_size", "--dynamic_batch", "--pad", "--output", folder / "labels.ts")
    record = json.loads((folder / "labels.json").read_text())
    assert record["comparison"]["max_error"] < 1 / 255 + 1e-4
    assert [row["name"] for row in record["metadata"]["inputs"]] == ["labels", "instances"]
    assert record["metadata"]["inputs"][0]["shape"] == [None, 1, None, None]
    assert record["metadata"]["color_order"]["input"] == "class ids and instance ids"


def test_metrics_are_those_of_the_file_and_of_pytorch(folder):
    out, _ = export(folder, "photos.pth", *TOY, "--format", "torchscript", "--metrics", "PSNR", "L1",
                    "--results_dir", folder / "results", "--output", folder / "scored.ts")
    metrics = json.loads((folder / "scored.json").read_text())["metrics"]
    assert metrics["images"] == 3
    assert metrics["file"] == pytest.approx(metrics["pytorch"], rel=1e-3)
    assert "PSNR" in out


def test_a_file_that_differs_too_much_is_kept_under_another_name(folder):
    target = folder / "kept.ts"
    target.write_text("an earlier file")
    _, err = export(folder, "photos.pth", *TOY, "--format", "torchscript", "--precision", "bf16",
                    "--min_psnr", 140, "--output", target, status=2)
    assert "on the worst image" in err
    assert "below the 140 dB that bf16 must reach; the file is kept as" in err
    assert target.read_text() == "an earlier file"
    assert open_session(folder / "kept.failed.ts").metadata["precision"] == "bf16"
    assert not json.loads((folder / "kept.failed.json").read_text())["passed"]
    assert not (folder / "kept.json").exists()


@pytest.mark.parametrize(("name", "other"), [
    ("result.onnx", "result.json"), ("result.xml", "result.bin"), ("photos.ts", "photos.json"),
    ("result.onnx", "result.failed.json"), ("page", "page.json")])
def test_no_file_of_another_origin_is_replaced(name, other, folder, tmp_path):
    at = tmp_path / other
    at.write_text('{"arch": [], "file": "photos.onnx", "comparison": {}}')
    before = at.read_bytes()
    formats = {".onnx": "onnx", ".xml": "openvino", ".ts": "torchscript", "": "web"}
    flags = ["--format", formats[Path(name).suffix]]
    _, err = export(folder, "photos.pth", *TOY, *flags, "--output", tmp_path / name, status=2)
    assert f"would replace {at}, which is not of an export to" in err
    assert [at] == list(tmp_path.iterdir())
    assert at.read_bytes() == before


def test_an_export_replaces_an_earlier_one(folder, tmp_path):
    for _ in range(2):
        export(folder, "photos.pth", *TOY, "--format", "openvino", "--output", tmp_path / "again.xml")
    assert {path.name for path in tmp_path.iterdir()} == {"again.xml", "again.bin", "again.json"}


def test_int8_is_calibrated_with_a_folder(folder):
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        (folder / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / "photos" / f"{i}.png")
    export(folder, "photos.pth", "--input", folder / "photos", "--gpu_ids", -1, "--precision", "int8",
           "--calibration", folder / "photos", "--min_psnr", 15, "--output", folder / "int8.onnx")
    record = json.loads((folder / "int8.json").read_text())
    assert record["calibration"] == {"images": 2, "source": str(folder / "photos")}
    assert record["bytes"] < 0.9 * (folder / "photos.pth").stat().st_size


def test_a_run_without_a_student_exports_its_original(folder):
    run = folder / "facades"
    run.mkdir()
    net = build_generator("unet_128", 3, 3, 2, "batch", True)
    torch.save(net.state_dict(), run / "latest_net_G.pth")
    run_here("export", "--name", "facades", "--checkpoints_dir", folder, *TOY, "--format", "torchscript",
             "--output", folder / "original.ts")
    metadata = json.loads((folder / "original.json").read_text())["metadata"]
    assert (metadata["network"], metadata["dropout"]) == ("original", "off, as in eval mode")


@pytest.mark.parametrize(("flags", "message"), [
    (["--output", "x.xml"], "a file of --format onnx ends in .onnx"),
    (["--precision", "bf16"], "--format onnx has no --precision bf16"),
    (["--size", "30x32"], "--size 30x32: the generator takes sides that are multiples of 4"),
    (["--size", "large"], "--size is HEIGHTxWIDTH"),
    (["--dynamic_batch", "--batch_size", 2], "--dynamic_batch takes any number of images"),
    (["--calibration", "x"], "only --precision int8 is calibrated"),
    (["--input_values", "ids"], "this generator takes images"),
    (["--input", "missing"], "--input: missing is not a folder"),
    (["--metrics", "beauty"], "beauty"),
    (["--precision", "int8", "--input", "{folder}/ids"], "them with --calibration FOLDER or --dataroot"),
    (["--input", "{folder}/photos.pth"], "photos.pth: is not an image file (.jpg"),
    (["--output", "{folder}/photos.pth/x.onnx"], "no file can be written there (Not a directory)"),
    (["--batch_size", 2, "--metrics", "L1"], "--metrics runs one image at a time"),
    (["--format", "tflite"], "--format tflite")])
def test_wrong_settings_are_named_before_anything_is_written(flags, message, folder):
    files = sorted(folder.rglob("*"))
    flags = [str(flag).format(folder=folder) for flag in flags]
    _, err = export(folder, "photos.pth", *TOY, "--name", "none", *flags, status=2)
    assert message in err
    assert err.count("\n") == 1
    assert sorted(folder.rglob("*")) == files


def test_an_empty_calibration_folder_and_a_missing_runtime_are_named(folder, monkeypatch):
    (folder / "empty").mkdir()
    flags = [*TOY, "--precision", "int8", "--output", folder / "never.onnx"]
    _, err = export(folder, "photos.pth", *flags, "--calibration", folder / "empty", status=2)
    assert f"--calibration: {folder / 'empty'} holds no image" in err
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    _, err = export(folder, "photos.pth", *flags, status=2)
    assert "package onnxruntime: pip install -r requirements-export.txt" in err
    assert not list(folder.glob("never*"))


def test_temporary_folders_of_killed_exports_are_removed_unless_they_are_in_use(folder):
    output = folder / "left" / "photos.ts"
    killed, running = (output.parent / f".export.{name}.tmp" for name in ("killed", "running"))
    for temporary in (killed, running):
        temporary.mkdir(parents=True)
        (temporary / "photos.ts").write_bytes(b"half of a file")
    code = ("import sys, time\nfrom util.lock import FolderLock\n"
            "with FolderLock(sys.argv[1]):\n    print(flush=True)\n    time.sleep(99)")
    with subprocess.Popen([sys.executable, "-c", code, running], cwd=ROOT, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        export(folder, "photos.pth", *TOY, "--format", "torchscript", "--output", output)
        other.kill()
    assert sorted(path.name for path in output.parent.iterdir()) == [running.name, "photos.json", "photos.ts"]

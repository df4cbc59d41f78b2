"""test.py and evaluate.py with --exported: images, folders, videos, and data sets."""
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from commands import run_here
from compression import (
    build_generator,
    colorize,
    encode_input,
    load_student,
    save_student,
    to_image,
    translate,
)
from compression.deploy import exported as exported_file
from compression.deploy.exported import ExportedGenerator
from compression.deploy.formats import Shapes, describe_inputs, write
from compression.deploy.graph import DeployedGenerator
from compression.deploy.interface import Interface
from models import measuring
from options.evaluate_options import EvaluateOptions

DESCRIBED = {"direction": "AtoB", "preprocess": "resize_and_crop", "load_size": 32, "crop_size": 32,
             "aspect_ratio": 1.0}


def export(net, path, interface, shapes=None, **described):
    """Write a file as export.py does."""
    shapes = shapes or Shapes((32, 32))
    graph = DeployedGenerator(net, interface, shapes.dynamic_size)
    metadata = {"interface": interface.metadata(), "inputs": describe_inputs(graph, shapes), "macs": 7e6,
                "macs_exact": 6e6, "params": 5e3, "precision": "fp32", "input": {**DESCRIBED, **described}}
    if not interface.pad:
        metadata |= {"stride": net.stride, "min_side": net.min_strides * net.stride}
    write({".onnx": "onnx", ".ts": "torchscript"}[path.suffix], graph, shapes, metadata, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with a student, two exported files of it, and a photo."""
    path = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    net = build_generator("resnet_6blocks", 3, 3, ngf=4).eval()
    (path / "ck" / "mine").mkdir(parents=True)
    save_student(path / "ck" / "mine" / "latest_student.pth", net,
                 input={**DESCRIBED, "netG": "resnet_6blocks"})
    export(net, path / "fixed.onnx", Interface(3, 3))
    export(net, path / "bytes.onnx", Interface(3, 3, "uint8", "uint8", pad=True),
           Shapes((32, 32), dynamic_size=True))
    export(net, path / "any.ts", Interface(3, 3), Shapes((32, 32), dynamic_size=True))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    (path / "photos").mkdir()
    Image.fromarray(pixels).save(path / "photos" / "square.png")
    Image.fromarray(pixels[:30, :25]).save(path / "odd.png")
    return path, net


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.parametrize(("file", "photo"), [
    ("fixed.onnx", "photos/square.png"), ("bytes.onnx", "odd.png"), ("any.ts", "odd.png")])
def test_an_image_is_that_of_pytorch(file, photo, folder, tmp_path):
    at, net = folder
    out, _ = run_here("test", "--exported", at / file, "--input", at / photo, "--output",
                      tmp_path / "out.png", "--checkpoints_dir", tmp_path, "--threads", 1)
    expected = np.asarray(to_image(translate(net, encode_input(net, Image.open(at / photo))))).astype(int)
    assert abs(pixels(tmp_path / "out.png") - expected).max() <= 1
    assert f"exported file: {file} (" in out


def test_a_folder_of_another_size_is_refused_or_scaled(folder, tmp_path):
    at, _ = folder
    Image.new("RGB", (40, 36)).save(at / "photos" / "large.png")
    command = ["test", "--exported", at / "fixed.onnx", "--input", at / "photos", "--output",
               tmp_path / "out", "--checkpoints_dir", tmp_path]
    _, err = run_here(*command, status=2)
    assert "large.png: " in err
    assert "takes images of 32x32 (height x width), got 36x40" in err
    assert "--input_size 32x32 scales the images" in err
    assert not (tmp_path / "out").exists()
    run_here(*command, "--input_size", "32x32")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"large.png", "square.png"}
    (at / "photos" / "large.png").unlink()


def test_a_video_of_another_size_is_refused_or_scaled(folder, tmp_path):
    pytest.importorskip("av")
    import videos
    at, _ = folder
    videos.write_video(tmp_path / "clip.mp4", videos.moving_squares(2))
    command = ["test", "--exported", at / "fixed.onnx", "--input", tmp_path / "clip.mp4", "--output",
               tmp_path / "out.mp4", "--checkpoints_dir", tmp_path]
    _, err = run_here(*command, status=2)
    assert "takes images of 32x32 (height x width), got 48x64" in err
    assert "--input_size 32x32" in err
    assert not list(tmp_path.glob("out*"))
    run_here(*command, "--input_size", "32x32")
    assert videos.read_video(tmp_path / "out.mp4")[0].shape == (2, 32, 32, 3)


@pytest.mark.parametrize("values", ["one_hot", "ids"])
def test_label_maps_are_encoded_as_the_file_says(values, tmp_path):
    torch.manual_seed(0)
    net = build_generator("pix2pixhd", 5, ngf=4, n_downsample_global=2, n_blocks_global=1).eval()
    interface = Interface(5, 3, values, classes=4, dontcare=True, instance=True)
    export(net, tmp_path / "map.ts", interface, Shapes((12, 20), dynamic_size=True))
    rng = np.random.default_rng(0)
    ids = rng.choice([0, 1, 2, 255], (11, 20)).astype(np.uint8)
    instances = rng.integers(0, 3, ids.shape).astype(np.uint16) + 1000
    Image.fromarray(ids).save(tmp_path / "ids.png")
    Image.fromarray(instances).save(tmp_path / "instances.png")
    run_here("test", "--exported", tmp_path / "map.ts", "--input", tmp_path / "ids.png", "--input_instance",
             tmp_path / "instances.png", "--output", tmp_path / "out.png", "--checkpoints_dir", tmp_path)
    save_student(tmp_path / "s.pth", net, input={"label_nc": 3, "contain_dontcare_label": True})
    encoded = encode_input(load_student(tmp_path / "s.pth"), Image.fromarray(ids), instances)
    expected = np.asarray(to_image(translate(net, encoded))).astype(int)
    got = pixels(tmp_path / "out.png")
    assert got.shape == (11, 20, 3)
    assert abs(got - expected)[:9].max() <= 1  # the last rows see the padding


def test_the_file_has_a_row_next_to_the_student(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "latency_ms", lambda *arguments: 20.0)
    monkeypatch.setattr(exported_file, "latency_ms", lambda *arguments, seconds: 10.0)
    at, _ = folder
    flags = ["--name", "mine", "--checkpoints_dir", at / "ck", "--dataset_mode", "toy", "--toy_test_images",
             2, "--results_dir", tmp_path, "--original", "none", "--gpu_ids", -1, "--phase", "test"]
    out, _ = run_here("evaluate", "--exported", at / "fixed.onnx", *flags, "--metrics", "L1", "PSNR")
    record = json.loads((tmp_path / "mine" / "test_latest" / "metrics.json").read_text())
    student, exported = record["metrics"]["student"], record["metrics"]["exported"]
    assert exported["L1"] == pytest.approx(student["L1"], abs=1e-3)
    row = record["networks"]["exported"]
    assert (row["macs"], row["runtime"], row["file"]) == (7e6, "onnxruntime", "fixed.onnx")
    assert (row["latency_ms"], record["networks"]["student"]["latency_ms"]) == (10, 20)
    assert "exported" in out
    assert len(list((tmp_path / "mine" / "test_latest" / "images").glob("*_exported.png"))) == 2
    # alone, without a checkpoint
    run_here("test", "--exported", at / "fixed.onnx", "--results_dir", tmp_path, "--dataset_mode", "toy",
             "--toy_test_images", 2, "--checkpoints_dir", tmp_path / "none")
    alone = json.loads((tmp_path / "fixed" / "test_latest" / "metrics.json").read_text())
    assert list(alone["networks"]) == ["exported"]
    assert alone["metrics"]["exported"]["L1"] == pytest.approx(exported["L1"], abs=1e-6)


@pytest.mark.parametrize("flag", ["--exported", "--student"])
@pytest.mark.parametrize("stem", ["mine", "other"])
def test_the_name_of_a_file_does_not_decide_whether_a_run_is_read(flag, stem, folder, tmp_path):
    at, _ = folder
    suffix = {"--exported": "onnx", "--student": "pth"}[flag]
    source = at / "fixed.onnx" if flag == "--exported" else at / "ck" / "mine" / "latest_student.pth"
    file = tmp_path / f"{stem}.{suffix}"
    shutil.copy(source, file)
    run = tmp_path / "ck" / "mine"
    run.mkdir(parents=True)
    settings = {"dataset_mode": "adf", "base_dataset_mode": "toy", "toy_test_images": 7, "crop_size": 32}
    (run / "train_opt.json").write_text(json.dumps(settings))
    opt = EvaluateOptions().parse(["--name", "mine", flag, str(file), "--checkpoints_dir", str(run.parent)])
    assert (opt.name, opt.toy_test_images, opt.crop_size) == ("mine", 7, 32)


@pytest.mark.parametrize(("flags", "message"), [
    (["--exported", "{at}/fixed.onnx", "--model", "pix2pix"], "runs by itself or next to a student"),
    (["--exported", "{at}/none.onnx"], "no such file"),
    (["--exported", "{at}/ck/mine/latest_student.pth"], "is not an exported file"),
    (["--exported", "{at}/fixed.onnx", "--runtime", "torch"], "torch does not open files ending in .onnx"),
    (["--runtime", "torch"], "--runtime: only with --exported"),
    (["--exported", "{at}/fixed.onnx", "--label_nc", "3", "--no_instance"],
     "takes images of 3 channels, but the inputs here are label maps of 3 classes without instance maps"),
    (["--exported", "{at}/fixed.onnx", "--input_nc", "1"],
     "takes images of 3 channels, but .* of 1 channels")])
def test_files_that_do_not_fit(flags, message, folder, tmp_path):
    at, _ = folder
    Image.new("L", (32, 32)).save(tmp_path / "x.png")
    _, err = run_here("test", *(flag.format(at=at) for flag in flags), "--input", tmp_path / "x.png",
                      "--output", tmp_path / "out.png", "--checkpoints_dir", tmp_path, status=2)
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert not (tmp_path / "out.png").exists()


def test_a_file_of_several_images_at_a_time_is_refused(folder, tmp_path):
    _, net = folder
    export(net, tmp_path / "four.onnx", Interface(3, 3), Shapes((32, 32), batch=4))
    with pytest.raises(ValueError, match="takes 4 images at a time; .*--dynamic_batch"):
        ExportedGenerator(tmp_path / "four.onnx")


def test_existing_images_need_no_file(folder, tmp_path):
    at, _ = folder
    _, err = run_here("evaluate", "--exported", at / "fixed.onnx", "--results", tmp_path, status=2)
    assert "--exported and --results exclude each other" in err


def test_colorization_gives_rgb(tmp_path):
    torch.manual_seed(0)
    net = build_generator("resnet_6blocks", 1, 2, ngf=4).eval()
    export(net, tmp_path / "lab.ts", Interface(1, 2), Shapes((32, 32), dynamic_size=True))
    pixels_in = np.random.default_rng(0).integers(0, 256, (30, 28, 3), np.uint8)
    Image.fromarray(pixels_in).save(tmp_path / "x.png")
    run_here("test", "--exported", tmp_path / "lab.ts", "--input", tmp_path / "x.png", "--output",
             tmp_path / "out.png", "--checkpoints_dir", tmp_path)
    lightness = encode_input(net, Image.open(tmp_path / "x.png"))
    expected = np.asarray(to_image(colorize(lightness, translate(net, lightness)))).astype(int)
    assert abs(pixels(tmp_path / "out.png") - expected).max() <= 1

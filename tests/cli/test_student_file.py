"""The file of a student answers every question about its inputs: no flag has to."""
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from commands import execute, run_here
from compression import (
    build_generator,
    encode_input,
    extract,
    load_original,
    load_student,
    save_student,
    to_image,
)
from compression.checkpoints.students import read_student
from paths import ROOT

LABELS = {"netG": "pix2pixhd", "label_nc": 3, "contain_dontcare_label": True, "no_instance": False,
          "input_nc": 3, "output_nc": 3, "direction": "AtoB", "preprocess": "none", "load_size": 32,
          "crop_size": 32, "aspect_ratio": 1.0}


def maps():
    """Class ids with unknown pixels (255), and instance ids of 16 bits, (12, 20)."""
    rng = np.random.default_rng(0)
    ids = rng.choice([0, 1, 2, 255], (12, 20)).astype(np.uint8)
    return ids, rng.integers(0, 3, ids.shape).astype(np.uint16) + 1000


def one_hot(ids, instances):
    """Encode by definition, pixel by pixel: 3 classes, unknown, and edges of instances."""
    height, width = ids.shape
    encoded = np.zeros((1, 5, height, width), dtype=np.float32)
    for y in range(height):
        for x in range(width):
            encoded[0, 3 if ids[y, x] == 255 else ids[y, x], y, x] = 1
            near = [(y + dy, x + dx) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
                    if 0 <= y + dy < height and 0 <= x + dx < width]
            encoded[0, 4, y, x] = any(instances[y, x] != instances[at] for at in near)
    return torch.from_numpy(encoded)


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


@pytest.fixture
def label_student(tmp_path):
    """The file of a student of label maps, and the two maps that it translates."""
    torch.manual_seed(0)
    net = build_generator("pix2pixhd", 5, ngf=4, n_downsample_global=2, n_blocks_global=1).eval()
    save_student(tmp_path / "s.pth", net, input=LABELS)
    ids, instances = maps()
    Image.fromarray(ids).save(tmp_path / "ids.png")
    Image.fromarray(instances).save(tmp_path / "instances.png")
    with torch.no_grad():
        return tmp_path, np.asarray(to_image(net(one_hot(ids, instances)))).astype(int)


def test_label_maps_are_encoded_as_the_file_says(label_student):
    folder, expected = label_student
    run_here("test", "--student", folder / "s.pth", "--input", folder / "ids.png", "--input_instance",
             folder / "instances.png", "--output", folder / "out.png", "--gpu_ids", -1,
             "--checkpoints_dir", folder)
    assert abs(pixels(folder / "out.png") - expected).max() <= 1
    net = load_student(folder / "s.pth")
    ids, instances = maps()
    assert torch.equal(encode_input(net, Image.fromarray(ids), instances), one_hot(ids, instances))
    with pytest.raises(ValueError, match="an instance map"):
        encode_input(net, ids)


def test_a_data_set_of_label_maps_needs_no_flag(label_student):
    folder, expected = label_student
    for name, file in (("label", "ids.png"), ("inst", "instances.png"), ("img", "ids.png")):
        (folder / "data" / f"test_{name}").mkdir(parents=True)
        shutil.copy(folder / file, folder / "data" / f"test_{name}" / "a.png")
    run_here("test", "--student", folder / "s.pth", "--dataroot", folder / "data", "--gpu_ids", -1,
             "--results_dir", folder / "results", "--checkpoints_dir", folder, "--name", "x")
    assert abs(pixels(folder / "results/x/test_latest/images/a_student.png") - expected).max() <= 1


@pytest.mark.parametrize("has_flag", [True, False])
def test_a_folder_of_cityscapes_is_translated_from_its_label_maps(label_student, has_flag):
    folder, expected = label_student
    maps_folder = folder / "gtFine" / "val" / "town"
    maps_folder.mkdir(parents=True)
    kinds = {"labelIds": "ids.png", "labelTrainIds": "ids.png", "instanceIds": "instances.png"}
    for kind, file in kinds.items():
        shutil.copy(folder / file, maps_folder / f"town_000000_000019_gtFine_{kind}.png")
    flags = ["--input_instance", folder / "gtFine"] if has_flag else []
    run_here("test", "--student", folder / "s.pth", "--input", folder / "gtFine", *flags, "--output",
             folder / "out", "--gpu_ids", -1, "--checkpoints_dir", folder)
    (written,) = (folder / "out").rglob("*.png")
    assert written == folder / "out/val/town/town_000000_000019_gtFine_labelIds.png"
    assert abs(pixels(written) - expected).max() <= 1


def test_the_example_runs_from_any_folder(label_student):
    folder, expected = label_student
    program = ROOT / "examples" / "use_student.py"
    done = execute(program, "s.pth", "ids.png", "example.png", "instances.png", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert abs(pixels(folder / "example.png") - expected).max() <= 1
    done = execute(program, "s.pth", "missing.png", "example.png", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("described", [True, False], ids=["described", "earlier version"])
def test_gray_students_read_any_photo(described, tmp_path):
    net = build_generator("resnet_6blocks", 1, 1, ngf=4).eval()
    meta = {"input": {**LABELS, "netG": "resnet_6blocks", "label_nc": 0, "input_nc": 1, "output_nc": 1}}
    save_student(tmp_path / "s.pth", net, **(meta if described else {}))
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 24, 3), dtype=np.uint8))
    photo.save(tmp_path / "photo.png")
    run_here("test", "--student", tmp_path / "s.pth", "--input", tmp_path / "photo.png",
             "--output", tmp_path / "out.png", "--gpu_ids", -1,
             "--checkpoints_dir", tmp_path)
    gray = torch.from_numpy(np.asarray(photo.convert("L")).astype(np.float32))[None, None] / 127.5 - 1
    with torch.no_grad():
        expected = np.asarray(to_image(net(gray))).astype(int)
    written = pixels(tmp_path / "out.png")
    assert abs((written if written.ndim == 2 else written[..., 0]) - expected).max() <= 1
    assert torch.equal(encode_input(load_student(tmp_path / "s.pth"), photo), gray)


def test_a_data_set_is_read_as_the_file_says(tmp_path):
    """Direction, size, and channels: pairs of 40x32, target at the left, scaled to a width of 16."""
    net = build_generator("resnet_6blocks", 1, 3, ngf=4)
    save_student(tmp_path / "s.pth", net, input={
        "netG": "resnet_6blocks", "label_nc": 0, "input_nc": 1, "output_nc": 3, "direction": "BtoA",
        "preprocess": "scale_width", "load_size": 16, "crop_size": 16})
    (tmp_path / "data" / "test").mkdir(parents=True)
    pair = np.zeros((40, 64, 3), dtype=np.uint8)
    pair[:, 32:] = 200
    Image.fromarray(pair).save(tmp_path / "data" / "test" / "a.png")
    run_here("test", "--student", tmp_path / "s.pth", "--dataroot", tmp_path / "data", "--gpu_ids", -1,
             "--results_dir", tmp_path / "results", "--checkpoints_dir", tmp_path / "runs")
    [images] = (tmp_path / "results").glob("*/*/images")
    assert Image.open(images / "a_student.png").size == (16, 20)
    assert {tuple(color) for color in pixels(images / "a_real_A.png").reshape(-1, 3)} == {(200, 200, 200)}


@pytest.mark.parametrize(("changes", "message"), [
    ({"label_nc": "3"}, "'meta.input.label_nc' must be an integer or null, got '3'"),
    ({"no_instance": 1}, "'meta.input.no_instance' must be true or false or null, got 1"),
    ({"label_nc": True}, "'meta.input.label_nc' must be an integer or null, got True"),
    ({"load_size": 10.5}, "'meta.input.load_size' must be an integer or null, got 10.5"),
    ({"label_nc": 4}, r"the student file is damaged \(its label maps have 6 channels, its network takes 5")])
def test_a_description_of_other_inputs_is_refused(changes, message, label_student):
    folder, _ = label_student
    save_student(folder / "other.pth", load_student(folder / "s.pth"), input={**LABELS, **changes})
    with pytest.raises(ValueError, match=f"other.pth: {message}"):
        read_student(folder / "other.pth")


def test_the_network_may_be_an_original(tmp_path):
    """One command measures any checkpoint: its cost, and metrics that are recomputed here."""
    net = build_generator("resnet_6blocks", 3, 3, ngf=4, norm="instance", no_dropout=True).eval()
    torch.save(net.state_dict(), tmp_path / "g.pth")
    (tmp_path / "data" / "val").mkdir(parents=True)
    rng = np.random.default_rng(3)
    pair = rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)
    Image.fromarray(pair).save(tmp_path / "data" / "val" / "a.png")
    run_here("evaluate", "--network", tmp_path / "g.pth", "--dataroot", tmp_path / "data", "--phase", "val",
             "--preprocess", "none", "--gpu_ids", -1, "--checkpoints_dir", tmp_path, "--metrics", "L1",
             "--results_dir", tmp_path / "results")
    record = json.loads((tmp_path / "results/g/val_latest/metrics.json").read_text())
    x, y = (torch.from_numpy(side.copy()).permute(2, 0, 1)[None] / 127.5 - 1
            for side in (pair[:, :32], pair[:, 32:]))
    with torch.no_grad():
        l1 = (net(x) - y).abs().mean() / 2
    assert record["metrics"]["original"]["L1"] == pytest.approx(float(l1), abs=0.002)
    assert record["networks"]["original"]["params"] == sum(p.numel() for p in net.parameters())
    assert record["networks"]["original"]["latency_ms"] > 0
    assert list(record["networks"]) == ["original"]


def test_a_student_is_no_original(tmp_path):
    net = build_generator("resnet_6blocks", 3, ngf=8)
    student = extract(net, net.full.with_widths(tuple(width // 2 + 4 for width in net.full.widths)))
    save_student(tmp_path / "s.pth", student)
    message = "holds --netG a resnet of other widths, such as a student, .*asked: --netG resnet_6blocks"
    with pytest.raises(ValueError, match=message):
        load_original(tmp_path / "s.pth", "resnet_6blocks")

"""``export.py --format web`` writes pages for students of images and of label maps."""
import json

import pytest
import torch

from commands import run_here
from compression import build_generator, initialize, save_student
from util import web_page

TOY = ["--dataset_mode", "toy", "--toy_test_images", "3", "--crop_size", "32", "--web_runtime", "none"]


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    """Files of students by kind, and of an original."""
    folder = tmp_path_factory.mktemp("students")
    torch.manual_seed(0)
    kinds = {"colors": ("resnet_6blocks", {"input_nc": 3}, {}),
             "paint": ("pix2pixhd", {"input_nc": 13}, {"label_nc": 12, "no_instance": False})}
    for name, (netG, settings, described) in kinds.items():
        net = initialize(build_generator(netG, ngf=4, norm="instance", **settings), "normal", 0.1)
        save_student(folder / f"{name}.pth", net, size=[32, 32],
                     input={"netG": netG, "crop_size": 32, "load_size": 32, **described})
        torch.save(net.state_dict(), folder / f"{name}_original.pth")
    return folder


def description(page):
    text = (page / "model.js").read_text()
    return json.loads(text.removeprefix("start(").removesuffix(");\n"))


def export(students, kind, page, *flags, status=0):
    return run_here("export", "--student", students / f"{kind}.pth", "--format", "web", "--output", page,
                    *TOY, *flags, status=status)


def test_a_student_of_colors_becomes_a_page_with_the_names_of_the_toy_classes(students, tmp_path):
    page = tmp_path / "page"
    out, _ = export(students, "colors", page, "--title", "My page", "--precision", "fp16",
                    "--original", students / "colors_original.pth")
    assert f"scripts/fetch_runtime.py {page}" in out
    assert f"open in a browser: {page}/index.html" in out
    found = description(page)
    assert (found["title"], found["kind"], found["width"]) == ("My page", "colors", 32)
    assert len(found["samples"]) == 3
    assert {"sky", "grass"} <= {item["name"] for item in found["classes"]}
    assert found["original"]["file"] == "original.js"
    assert (page / "original.js").is_file()
    assert not (page / "runtime").exists()
    record = json.loads((tmp_path / "page.json").read_text())
    assert record["passed"]
    assert record["page"] == "colors"


def test_a_student_of_label_maps_becomes_a_page_with_its_classes(students, tmp_path):
    export(students, "paint", tmp_path / "page", "--original", "none")
    found = description(tmp_path / "page")
    assert (found["kind"], found["instances"], found["original"]) == ("paint", True, None)
    assert found["classes"][0] == {"name": "sky", "color": "000000"}
    names = tmp_path / "names.txt"
    names.write_text("air\ncloud\n")
    export(students, "paint", tmp_path / "page", "--class_names", names)
    classes = description(tmp_path / "page")["classes"]
    assert [item["name"] for item in classes[:3]] == ["air", "cloud", "class 2"]


@pytest.mark.parametrize(("flags", "message"), [
    (["--page", "paint"], "--page paint: the generator takes images"),
    (["--class_names", "missing.txt"], "--class_names missing.txt: cannot be read"),
    (["--dynamic_size"], "--dynamic_size: a page runs one image of one size"),
    (["--precision", "int8"], "--format web has no --precision int8"),
    (["--web_runtime", "missing.tgz"], "missing.tgz: cannot be read"),
    (["--format", "onnx"], "only for --format web, got --format onnx"),
])
def test_wrong_flags_are_refused_before_anything_is_written(students, tmp_path, flags, message):
    _, err = export(students, "colors", tmp_path / "page", *flags, status=2)
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_network_that_no_browser_loads_is_refused(students, tmp_path, monkeypatch):
    monkeypatch.setattr(web_page, "MOST_MEGABYTES", 0.1)
    _, err = export(students, "colors", tmp_path / "page", status=2)
    assert "--student: its file has" in err
    assert not list(tmp_path.iterdir())


def test_a_page_does_not_replace_another_folder(students, tmp_path):
    (tmp_path / "photo.png").touch()
    _, err = export(students, "colors", tmp_path, status=2)
    assert "holds other files than a page" in err

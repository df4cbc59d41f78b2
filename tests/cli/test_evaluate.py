"""evaluate.py: metrics of a folder of images against their formulas, layouts, the report, and bad input."""
import hashlib
import json
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg

import evaluate
from compression.metrics.segmenter import Segmenter, load_segmenter, save_segmenter
from hed_weights import write_hed
from util.entry import run_main

CLASSES, SIZE, NAMES = 4, 32, [f"item{i}" for i in range(4)]


def photo(seed, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def work(tmp_path):
    """Results of a student and an original on four inputs, their label maps, and a segmenter."""
    images = tmp_path / "results" / "exp" / "val_latest" / "images"
    for i, name in enumerate(NAMES):
        write(images / f"{name}_real_B.png", photo(i))
        write(images / f"{name}_real_A.png", photo(10 + i))
        write(images / f"{name}_student.png", photo(20 + i))
        write(images / f"{name}_original.png", photo(30 + i))
        labels = np.random.default_rng(40 + i).integers(0, CLASSES, (SIZE, SIZE), dtype=np.uint8)
        labels[:4] = 255
        write(tmp_path / "labels" / f"{name}.png", labels)
    (images.parent / "index.html").write_text("")  # written by every test page
    torch.manual_seed(0)
    save_segmenter(tmp_path / "segmenter.pth", Segmenter(CLASSES))
    return tmp_path


def call(monkeypatch, capsys, work, *arguments):
    """Run evaluate.py in this process; returns (exit status, standard output, standard error)."""
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--results_dir", str(work / "results"),
                                      "--checkpoints_dir", str(work / "ck"), "--name", "exp",
                                      *map(str, arguments)])
    status = 0
    try:
        run_main(evaluate.main)
    except SystemExit as end:
        status = end.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def score(monkeypatch, capsys, work, *arguments):
    """Evaluate the student's folder and return its metrics.json."""
    folder = work / "results" / "exp" / "val_latest"
    status, _, err = call(monkeypatch, capsys, work, "--results", folder, *arguments)
    assert status == 0, err
    return json.loads((folder / "metrics.json").read_text())


def refused(monkeypatch, capsys, work, *arguments):
    """Run evaluate.py, which must fail, and return its one line of error."""
    status, _, err = call(monkeypatch, capsys, work, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert status == 2, err
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


def test_paired_metrics_by_hand(work, monkeypatch, capsys):
    metrics = score(monkeypatch, capsys, work, "--metrics", "L1", "PSNR")["metrics"]
    for label, seed in (("student", 20), ("original", 30)):
        errors = [(photo(i) / 255.0 - photo(seed + i) / 255.0) for i in range(4)]
        assert metrics[label]["L1"] == pytest.approx(np.mean([np.abs(e).mean() for e in errors]), rel=1e-5)
        psnr = [-10 * np.log10((error ** 2).mean()) for error in errors]
        assert metrics[label]["PSNR"] == pytest.approx(np.mean(psnr), rel=1e-5)


def test_miou_equals_that_of_a_confusion_matrix_by_hand(work, monkeypatch, capsys):
    report = score(monkeypatch, capsys, work, "--metrics", "mIoU", "--segmenter", work / "segmenter.pth",
                  "--labels", work / "labels")
    net = load_segmenter(work / "segmenter.pth")
    for label, seed in (("student", 20), ("real", 0)):  # real photos give the upper bound
        matrix = np.zeros((CLASSES, CLASSES))
        for i, name in enumerate(NAMES):
            image = torch.from_numpy(photo(seed + i)).permute(2, 0, 1)[None] / 255.0
            with torch.no_grad():
                predicted = net(image)[0].argmax(0).numpy()
            truth = np.asarray(Image.open(work / "labels" / f"{name}.png"))
            for t, p in zip(truth[truth != 255], predicted[truth != 255], strict=True):
                matrix[t, p] += 1
        union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
        values = report["metrics"][label]
        assert values["mIoU"] == pytest.approx(100 * (matrix.diagonal() / union).mean(), abs=1e-6)
        accuracy = 100 * matrix.trace() / matrix.sum()
        assert values["pixel_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    protocol = report["protocol"]["segmentation"]
    assert protocol["classes"] == "4 classes"
    assert "255 is left out" in protocol["void"]
    assert len(protocol["sha256"]) == 64


@pytest.mark.filterwarnings("ignore:4 images for 256 features", "ignore:Matrix is singular")
def test_a_distance_on_other_features_is_never_called_fid(work, monkeypatch, capsys):
    flags = ("--metrics", "FID", "KID", "--segmenter", work / "segmenter.pth")
    report = score(monkeypatch, capsys, work, *flags)
    names = set(report["metrics"]["student"])
    assert all(re.fullmatch(r"[FK]D\(segmenter-[0-9a-f]{8}\)", name) for name in names)
    assert len(names) == 2
    net = load_segmenter(work / "segmenter.pth")

    def features(seed):
        photos = torch.from_numpy(np.stack([photo(seed + i) for i in range(4)]))
        with torch.no_grad():
            return net.features(photos.permute(0, 3, 1, 2) / 255.0).numpy()

    a, b = features(20).astype(np.float64), features(0).astype(np.float64)
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(covariance_a @ covariance_b).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariance_a + covariance_b - 2 * root)
    value = next(v for name, v in report["metrics"]["student"].items() if name.startswith("FD"))
    assert value == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.filterwarnings("ignore:4 images for 256 features")
def test_features_are_cached_until_an_image_changes(work, monkeypatch, capsys):
    flags = ("--metrics", "FID", "--segmenter", work / "segmenter.pth")
    first = score(monkeypatch, capsys, work, *flags)["metrics"]
    monkeypatch.setattr(Segmenter, "features",
                        lambda self, photos: pytest.fail("features are computed again"))
    assert score(monkeypatch, capsys, work, *flags)["metrics"] == first
    monkeypatch.undo()
    write(work / "results" / "exp" / "val_latest" / "images" / "item0_student.png", photo(99))
    changed = score(monkeypatch, capsys, work, *flags)["metrics"]
    assert changed["student"] != first["student"]
    assert changed["original"] == first["original"]


def test_metrics_that_cannot_be_computed_are_reported(work, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(work / "no_weights"))
    report = score(monkeypatch, capsys, work)
    assert {"FID", "KID", "mIoU", "LPIPS", "hed-vgg16"} == set(report["not_computed"])
    assert "run python scripts/fetch_hed.py" in report["not_computed"]["hed-vgg16"]
    assert "--inception_weights" in report["not_computed"]["FID"]
    assert "--segmenter" in report["not_computed"]["mIoU"]
    assert set(report["metrics"]["student"]) == {"L1", "PSNR", "SSIM"}
    page = (work / "results" / "exp" / "val_latest" / "report.html").read_text()
    assert page.count("not computed: FID, KID: no feature network") == page.count("no feature network") == 1


@pytest.mark.filterwarnings("ignore:4 images for")
def test_metrics_on_hed_are_named_after_it(work, monkeypatch, capsys):
    path = write_hed(work)
    monkeypatch.setenv("TORCH_HOME", str(work))
    report = score(monkeypatch, capsys, work)
    names = {"L1", "PSNR", "SSIM", "hed-vgg16 distance", "FD(hed-vgg16)", "KD(hed-vgg16)"}
    assert set(report["metrics"]["student"]) == names
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["protocol"]["features"] == {"network": "hed-vgg16", "sha256": digest, "resize": "none"}
    assert report["protocol"]["hed-vgg16"]["sha256"] == digest
    flags = ("--segmenter", work / "segmenter.pth", "--metrics", "FID")
    report = score(monkeypatch, capsys, work, *flags)
    assert any(name.startswith("FD(segmenter-") for name in report["metrics"]["student"])
    report = score(monkeypatch, capsys, work, *flags, "--feature_network", "hed")
    assert set(report["metrics"]["student"]) == names - {"KD(hed-vgg16)"}  # with those of the earlier scores


LAYOUTS = {"pix2pixHD": ("images/{}_synthesized_image.jpg", "synthesized_image"),
           "SPADE": ("images/synthesized_image/{}.png", "synthesized_image"),
           "pix2pix": ("images/{}_fake_B.png", "fake_B"), "a folder": ("{}.png", "generated")}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_result_folders_of_other_projects_are_evaluated(work, monkeypatch, capsys, layout):
    pattern, label = LAYOUTS[layout]
    for i, name in enumerate(NAMES):
        write(work / "other" / pattern.format(name), photo(20 + i))
        write(work / "photos" / f"{name}.png", photo(i))
    if "/" in pattern:
        (work / "other" / "index.html").write_text("")
    status, _, err = call(monkeypatch, capsys, work, "--results", work / "other",
                          "--reference", work / "photos", "--metrics", "L1")
    assert status == 0, err
    metrics = json.loads((work / "other" / "metrics.json").read_text())["metrics"]
    # pix2pixHD writes JPEG files
    saved = [np.asarray(Image.open(work / "other" / pattern.format(name))) for name in NAMES]
    expected = np.mean([np.abs(photo(i) / 255.0 - image / 255.0).mean() for i, image in enumerate(saved)])
    assert metrics[label]["L1"] == pytest.approx(expected, abs=1e-6)


REFERENCES = {"leftImg8bit/val/aachen/{}_leftImg8bit.png": None, "val_img/{}.png": None, "valB/{}.png": None,
              "val/{}.png": "valannot/{}.png"}


@pytest.mark.parametrize("layout", REFERENCES)
@pytest.mark.filterwarnings("ignore:4 images for 256 features")
def test_reference_photos_are_read_from_any_layout(work, monkeypatch, capsys, layout):
    for i, name in enumerate(NAMES):
        write(work / "root" / layout.format(name), photo(i))
        if REFERENCES[layout]:
            write(work / "root" / REFERENCES[layout].format(name), photo(0)[..., 0])
        write(work / "plain" / f"{name}.png", photo(20 + i))
    flags = ("--metrics", "FID", "--segmenter", work / "segmenter.pth", "--phase", "val")
    status, _, err = call(monkeypatch, capsys, work, "--results", work / "plain",
                          "--reference", work / "root", *flags)
    assert status == 0, err
    value = json.loads((work / "plain" / "metrics.json").read_text())["metrics"]["generated"]
    assert value == score(monkeypatch, capsys, work, *flags)["metrics"]["student"]


def test_the_report_is_one_self_contained_file(work, monkeypatch, capsys):
    score(monkeypatch, capsys, work, "--metrics", "L1", "SSIM")
    page = (work / "results" / "exp" / "val_latest" / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']+["']""", page)
    assert "@import" not in page
    assert page.count("data:image/jpeg;base64,") >= 4 * 4
    assert 'name="viewport"' in page
    assert "Protocol" in page
    assert "not computed" not in page


def test_the_report_has_the_searched_student_once_and_notes_other_images(work, monkeypatch, capsys):
    cost = {"student": {"macs": 1e9, "macs_exact": 1e9, "params": 1e6, "latency_ms": 1.0}}
    for name, images in (("exp", 4), ("net", 3)):
        folder = work / "results" / name / "val_latest"
        folder.mkdir(parents=True, exist_ok=True)
        protocol = {"images": images, "height": SIZE, "width": SIZE}
        document = {"name": name, "model": "ugc_student", "protocol": protocol,
                    "metrics": {"student": {"L1": 0.5}}, "networks": cost}
        (folder / "metrics.json").write_text(json.dumps(document))
    (work / "ck" / "exp").mkdir(parents=True)
    (work / "ck" / "exp" / "train_opt.json").write_text('{"supernet": "net"}')
    score(monkeypatch, capsys, work, "--metrics", "L1", "--runs", "net")
    page = (work / "results" / "exp" / "report.html").read_text()
    assert "after search" in page
    assert "The row after search is of 3 images" in page
    assert "<!-- net -->" not in page
    assert "<!-- after search -->" in page


def test_files_without_a_partner_are_counted_and_named(work, monkeypatch, capsys):
    folder = work / "results" / "exp" / "val_latest"
    for i in range(12):
        write(folder / "images" / f"extra{i:02}_student.png", photo(i))
    error = refused(monkeypatch, capsys, work, "--results", folder, "--metrics", "L1")
    assert "12 of 16 generated images have no ground truth: extra00, " in error
    assert "extra09 and 2 more" in error
    assert "extra10" not in error
    error = refused(monkeypatch, capsys, work, "--results", folder, "--metrics", "mIoU",
                    "--segmenter", work / "segmenter.pth", "--labels", work / "labels")
    assert "12 of 16 generated images have no label map" in error


def one_image(work):
    for path in (work / "results" / "exp" / "val_latest" / "images").glob("item[123]*"):
        path.unlink()


def another_size(work):
    write(work / "results" / "exp" / "val_latest" / "images" / "item2_student.png", photo(1, 16))


def no_class(work):
    write(work / "labels" / "item1.png", np.full((SIZE, SIZE), 9, np.uint8))


def colored_labels(work):
    write(work / "labels" / "item1.png", photo(1))


def torn(work):
    images = work / "results" / "exp" / "val_latest" / "images"
    (images / "item1_student.png").write_bytes(b"\x89PNG\r\n\x1a\n1234")


BAD = {"too few": (one_image, ["--metrics", "FID"], r"FID: too few images: 1 generated, 1 real"),
       "sizes": (another_size, [], r"1 ground truths are not of the images' size: item2"),
       "label range": (no_class, ["--metrics", "mIoU"], r"item1: class ids 0 to 9|item1: class ids 9 to 9"),
       "colors": (colored_labels, ["--metrics", "mIoU"], r"item1.png: a map of ids has one channel"),
       "torn image": (torn, [], r"item1_student.png: cannot be read as an image"),
       "unknown metric": (None, ["--metrics", "IS"], r"--metrics IS is unknown, known: L1, PSNR"),
       "no weights": (None, ["--inception_weights", "none.pth"], r"none.pth: no such file"),
       "no DRN": (None, ["--drn_weights", "drn.pth"], r"drn.pth: no such"),
       "no segmenter": (None, ["--segmenter", "labels"],
                        r"labels: no such checkpoint file|labels: is not a segmenter"),
       "no labels": (None, ["--labels", "nowhere", "--metrics", "mIoU"], r"nowhere is not a folder"),
       "no reference": (None, ["--reference", "nowhere"], r"--reference nowhere: no such folder")}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_error_line(work, monkeypatch, capsys, case):
    spoil, flags, message = BAD[case]
    if spoil:
        spoil(work)
    defaults = {"--segmenter": work / "segmenter.pth", "--labels": work / "labels"}
    for flag, value in defaults.items():
        if flag not in flags:
            flags = [*flags, flag, value]
    error = refused(monkeypatch, capsys, work, "--results", work / "results" / "exp" / "val_latest", *flags)
    assert re.search(message, error), error
    assert not (work / "results" / "exp" / "val_latest" / "metrics.json").exists()


def test_a_folder_without_images_is_refused(work, monkeypatch, capsys):
    (work / "empty").mkdir()
    assert "holds no image" in refused(monkeypatch, capsys, work, "--results", work / "empty")
    assert "no such folder" in refused(monkeypatch, capsys, work, "--results", work / "nowhere")

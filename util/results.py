"""Folders of results: writing those of test.py, reading those and other projects'."""
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from compression.checkpoints.files import read_json, write_json
from compression.metrics import ImageMetrics
from data import create_dataset
from data.image_folder import IMG_EXTENSIONS

from .html import HTML
from .util import save_image, tensor2im

INPUTS = ("real_A", "input_label", "input_image", "input")
REALS = ("real_B", "real_image", "real", "target")
GENERATED = ("student", "original", "fake_B", "fake_A", "fake", "synthesized_image", "generated")


@dataclass
class Results:
    """The images of a folder of results, each by name of the item.

    Attributes:
        generated: label (``student``, ``original``, ``fake_B``, ...) -> {name: file}.
        real, inputs: {name: file}.
    """

    folder: Path
    generated: dict[str, dict[str, Path]] = field(default_factory=dict)
    real: dict[str, Path] = field(default_factory=dict)
    inputs: dict[str, Path] = field(default_factory=dict)


def make_results(opt, model):
    """Run the data set through the model.

    Returns:
        The folder with images, ``index.html`` and ``metrics.json``, and what is in the latter.
    """
    dataset = create_dataset(opt)
    if opt.eval:
        model.eval()
    tag = f"{opt.phase}_{opt.epoch}" + (f"_iter{opt.load_iter}" if opt.load_iter > 0 else "")
    folder = Path(opt.results_dir) / opt.name / tag
    for label in model.visual_names:  # images of an earlier run would be scored with these
        for old in (folder / "images").glob(f"*_{label}.png"):
            old.unlink()
    page, rows, scores, size = run_dataset(opt, model, dataset, folder)
    return folder, write_results(opt, page, rows, scores, model.report(size), size)


def run_dataset(opt, model, dataset, folder):
    """Translate the data set into images and rows of a page.

    Returns:
        page, rows (name, labels), scores by network, and the size (height, width).
    """
    page = HTML(folder, f"Experiment = {opt.name}, Phase = {opt.phase}, Epoch = {opt.epoch}")
    stretch = 1.0 if getattr(opt, "label_nc", 0) else opt.aspect_ratio  # of label maps it is the shape they are given
    metrics, rows, size, count = {}, [], None, min(opt.num_test, len(dataset))
    for i, batch in enumerate(tqdm(dataset, total=count, desc="test", unit="img", dynamic_ncols=True)):
        if i >= count:
            break
        model.set_input(batch)
        model.test()
        for name, (image, target) in model.metric_pairs().items():
            metrics.setdefault(name, ImageMetrics()).update(image, target)
        visuals = model.get_current_visuals()
        size = next(iter(visuals.values())).shape[-2:]
        stem = Path(model.get_image_paths()[0]).stem
        for label, image in visuals.items():
            save_image(tensor2im(image), page.image_dir / f"{stem}_{label}.png", stretch)
        rows.append((stem, list(visuals)))
    scores = {name: metric.compute() for name, metric in metrics.items()}
    return page, rows, scores, tuple(int(side) for side in size)


def write_results(opt, page, rows, scores, report, size):
    """The page with its table and rows of images, and ``metrics.json``; returns what is in it."""
    header, table = results_table(report, scores)
    page.add_header(f"{opt.name}: {len(rows)} images, {size[0]}x{size[1]} (height x width)")
    page.add_table(header, table)
    for stem, labels in rows:
        page.add_header(stem)
        files = [f"{stem}_{label}.png" for label in labels]
        page.add_images(files, labels, files, width=opt.display_winsize)
    page.save()
    protocol = {"images": len(rows), "height": size[0], "width": size[1], "phase": opt.phase, "epoch": opt.epoch,
                "values": "8-bit images in [0, 1]; PSNR and SSIM are means over images"}
    found = {"name": opt.name, "model": opt.model, "protocol": protocol, "metrics": scores, "networks": report}
    write_json(page.web_dir / "metrics.json", found)
    return found


def results_table(report, scores):
    """Cost and quality side by side, as text; a network's scores bear its name or, if it is the only one, any name."""
    names = list(dict.fromkeys(name for score in scores.values() for name in score)) or ["L1", "PSNR", "SSIM"]
    header = ["network", "MACs (G)", "exact (G)", "params (M)", "latency (ms)", *map(title, names)]
    table = []
    for name in dict.fromkeys((*report, *([] if len(report) == 1 else scores))):
        row, score = report.get(name), scores.get(name)
        if score is None and len(report) == 1:
            score = next(iter(scores.values()), None)
        cost = ["-"] * 4 if row is None else [f"{row['macs'] / 1e9:.3f}", f"{row['macs_exact'] / 1e9:.3f}",
                                              f"{row['params'] / 1e6:.3f}", f"{row['latency_ms']:.1f}"]
        table.append([name, *cost, *(number(n, (score or {}).get(n)) for n in names)])
    return header, table


def title(metric):
    """A metric's column title, with its unit."""
    return {"PSNR": "PSNR (dB)", "mIoU": "mIoU (%)", "pixel_accuracy": "pixel acc. (%)"}.get(metric, metric)


def number(metric, value):
    """A metric's value as text; a dash where there is none."""
    return "-" if value is None else f"{value:.2f}" if metric in ("PSNR", "mIoU", "pixel_accuracy", "FID") or \
        metric.startswith("FD(") else f"{value:.4f}"


def print_table(header, table):
    """Columns of text, as wide as they need."""
    widths = [max(len(str(row[i])) for row in (header, *table)) for i in range(len(header))]
    for row in (header, *table):
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths)))


def read_results(folder):
    """The images of a folder of results.

    Understood are ``images/<name>_<label>.png`` (test.py's, pix2pix's and pix2pixHD's), ``images/<label>/<name>.png``
    (SPADE's), and a plain folder, whose images are all ``generated``.

    Raises:
        ValueError: if there is no image.
    """
    folder = Path(folder)
    base = folder / "images" if (folder / "images").is_dir() else folder
    if not base.is_dir():
        raise ValueError(f"--results {folder}: no such folder")
    files = sorted(p for p in base.rglob("*") if p.suffix.lower() in IMG_EXTENSIONS and not p.name.startswith("."))
    if not files:
        raise ValueError(f"--results {folder}: holds no image")
    results, labels = Results(folder), (*INPUTS, *REALS, *GENERATED)
    for path in files:
        if path.parent != base and path.parent.name in labels:
            name, label = path.stem, path.parent.name
        else:
            label = next((label for label in sorted(labels, key=len, reverse=True)
                          if path.stem.endswith(f"_{label}")), None)
            name = path.stem.removesuffix(f"_{label}") if label else path.stem
        if label in INPUTS:
            results.inputs[name] = path
        elif label in REALS:
            results.real[name] = path
        else:
            results.generated.setdefault(label or "generated", {})[name] = path
    if not results.generated:
        raise ValueError(f"--results {folder}: holds no generated image (names ending in _{', _'.join(GENERATED)})")
    return results


def read_metrics(folder):
    """``metrics.json`` of a folder of results; an empty report where there is none."""
    path = Path(folder) / "metrics.json"
    if not path.is_file():
        return {"name": Path(folder).name, "model": None, "protocol": {}, "metrics": {}, "networks": {}}
    return {"protocol": {}, "metrics": {}, "networks": {}, **read_json(path)}


def by_reason(not_computed):
    """Metric -> why it has no value, as lines: metrics of one reason together."""
    whys = dict.fromkeys(not_computed.values())
    return [f"{', '.join(name for name in not_computed if not_computed[name] == why)}: {why}" for why in whys]

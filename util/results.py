"""Folders of results: write those of test.py, and read those of this and other projects."""
from __future__ import annotations

import os
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from compression.checkpoints.files import read_json, write_json
from compression.metrics import ImageMetrics
from data import create_dataset
from data.image_folder import IMG_EXTENSIONS
from options.whole_images import describe_size

from .html import HTML
from .util import save_image, tensor2im

INPUTS = ("real_A", "input_label", "input_image", "input")
REALS = ("real_B", "real_image", "real", "target")
GENERATED = ("student", "original", "fake_B", "fake_A", "fake", "synthesized_image", "generated")
NAMED = 10  # the maximum number of files that an error message names
_TITLES = {"PSNR": "PSNR (dB)", "mIoU": "mIoU (%)", "pixel_accuracy": "pixel acc. (%)"}
_TWO_DECIMALS = ("PSNR", "mIoU", "pixel_accuracy", "FID")


@dataclass
class Results:
    """The images of a folder of results.

    Attributes:
        folder: the folder.
        generated: label (``student``, ``original``, ``fake_B``, ...) -> {name of the item: file}.
        real: {name of the item: file} of the real photos.
        inputs: {name of the item: file} of the inputs.
    """

    folder: Path
    generated: dict[str, dict[str, Path]] = field(default_factory=dict)
    real: dict[str, Path] = field(default_factory=dict)
    inputs: dict[str, Path] = field(default_factory=dict)


def make_results(opt: Namespace, model) -> tuple[Path, dict[str, Any]]:
    """Run a model on the data set and write the results.

    Returns:
        The folder with images, ``index.html`` and ``metrics.json``, and the content of the latter.
    """
    dataset = create_dataset(opt)
    print(f"images: {describe_size(opt)}")
    if opt.eval:
        model.eval()
    tag = f"{opt.phase}_{opt.epoch}" + (f"_iter{opt.load_iter}" if opt.load_iter > 0 else "")
    folder = Path(opt.results_dir) / opt.name / tag
    for label in model.visual_names:  # images of an earlier run would be scored with the new ones
        for old in (folder / "images").glob(f"*_{label}.png"):
            old.unlink()
    page, rows, scores, size = run_dataset(opt, model, dataset, folder)
    return folder, write_results(opt, page, rows, scores, model.report(size), size)


def run_dataset(opt: Namespace, model, dataset, folder: Path) -> tuple[HTML, list, dict, tuple[int, int]]:
    """Run a model on up to ``--num_test`` items of a data set and save the images.

    Returns:
        A page without content; the rows (name of the item, labels of its images) for it; the scores, network
        -> metric -> value; and the most frequent size of the images, (height, width).
    """
    page = HTML(folder, f"Experiment = {opt.name}, Phase = {opt.phase}, Epoch = {opt.epoch}")
    # images that are scaled to --aspect_ratio are not stretched again
    has_ratio = opt.preprocess == "fixed" or getattr(opt, "label_nc", 0)
    stretch = 1.0 if has_ratio else opt.aspect_ratio
    metrics: dict[str, ImageMetrics] = {}
    rows = []
    sizes: Counter[tuple[int, int]] = Counter()
    count = min(opt.num_test, len(dataset))
    for i, batch in enumerate(tqdm(dataset, total=count, desc="test", unit="img", dynamic_ncols=True)):
        if i >= count:
            break
        model.set_input(batch)
        model.test()
        for name, (image, target) in model.metric_pairs().items():
            metrics.setdefault(name, ImageMetrics()).update(image, target)
        visuals = model.get_current_visuals()
        height, width = next(iter(visuals.values())).shape[-2:]
        sizes[height, width] += 1
        stem = Path(model.get_image_paths()[0]).stem
        for label, image in visuals.items():
            save_image(tensor2im(image), page.image_dir / f"{stem}_{label}.png", stretch)
        rows.append((stem, list(visuals)))
    scores = {name: metric.compute() for name, metric in metrics.items()}
    (size, _), *others = sizes.most_common()
    if others:
        print(f"the images have {len(sizes)} sizes; MACs and latency are for the most frequent one")
    return page, rows, scores, size


def write_results(opt: Namespace, page: HTML, rows: list, scores: dict, costs: dict,
                  size: tuple[int, int]) -> dict[str, Any]:
    """Write the page with its table and images, and ``metrics.json``; returns the content of the latter.

    Args:
        opt: parsed options.
        page: the page.
        rows: (name of the item, labels of its images).
        scores: network -> metric -> value.
        costs: network -> its MACs, parameters and latency.
        size: (height, width) of the images.
    """
    header, table = results_table(costs, scores)
    page.add_header(f"{opt.name}: {len(rows)} images, {size[0]}x{size[1]} (height x width)")
    page.add_table(header, table)
    for stem, labels in rows:
        page.add_header(stem)
        files = [f"{stem}_{label}.png" for label in labels]
        page.add_images(files, labels, files, width=opt.display_winsize)
    page.save()
    protocol = {"images": len(rows), "height": size[0], "width": size[1], "phase": opt.phase,
                "epoch": opt.epoch, "values": "8-bit images in [0, 1]; PSNR and SSIM are means over images"}
    record = {"name": opt.name, "model": opt.model, "protocol": protocol, "metrics": scores,
              "networks": costs}
    write_json(page.web_dir / "metrics.json", record)
    return record


def results_table(costs: dict, scores: dict) -> tuple[list[str], list[list[str]]]:
    """Tabulate cost and quality as text.

    Args:
        costs: network -> ``macs``, ``macs_exact``, ``params`` and ``latency_ms``.
        scores: network -> metric -> value. If there is only one network, its scores may have any name.

    Returns:
        The header, and the rows of cells.
    """
    metrics = list(dict.fromkeys(metric for values in scores.values() for metric in values))
    metrics = metrics or ["L1", "PSNR", "SSIM"]
    header = ["network", "MACs (G)", "exact (G)", "params (M)", "latency (ms)", *map(title, metrics)]
    is_single = len(costs) == 1
    table = []
    for network in costs if is_single else dict.fromkeys((*costs, *scores)):
        values = scores.get(network)
        if values is None and is_single:
            values = next(iter(scores.values()), None)
        score_cells = [number(metric, (values or {}).get(metric)) for metric in metrics]
        table.append([network, *_cost_cells(costs.get(network)), *score_cells])
    return header, table


def _cost_cells(cost: dict | None) -> list[str]:
    if cost is None:
        return ["-"] * 4
    return [f"{cost['macs'] / 1e9:.3f}", f"{cost['macs_exact'] / 1e9:.3f}", f"{cost['params'] / 1e6:.3f}",
            f"{cost['latency_ms']:.1f}"]


def title(metric: str) -> str:
    """Return a metric's column title, with its unit."""
    return _TITLES.get(metric, metric)


def number(metric: str, value: float | None) -> str:
    """Format a metric's value; a dash if there is none."""
    if value is None:
        return "-"
    if metric in _TWO_DECIMALS or metric.startswith("FD("):
        return f"{value:.2f}"
    return f"{value:.4f}"


def print_table(header: Sequence, table: Sequence[Sequence]) -> None:
    """Print a table with right-aligned columns."""
    widths = [max(len(str(row[i])) for row in (header, *table)) for i in range(len(header))]
    for row in (header, *table):
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)))


def read_results(folder: str | os.PathLike) -> Results:
    """List the images of a folder of results.

    Three layouts are known: ``images/<name>_<label>.png`` (of test.py, pix2pix and pix2pixHD),
    ``images/<label>/<name>.png`` (of SPADE), and a plain folder, all of whose images are labeled
    ``generated``.

    Raises:
        ValueError: if the folder does not exist or holds no generated image.
    """
    folder = Path(folder)
    base = folder / "images" if (folder / "images").is_dir() else folder
    if not base.is_dir():
        raise ValueError(f"--results {folder}: no such folder")
    files = sorted(path for path in base.rglob("*")
                   if path.suffix.lower() in IMG_EXTENSIONS and not path.name.startswith("."))
    if not files:
        raise ValueError(f"--results {folder}: holds no image")
    results = Results(folder)
    for path in files:
        name, label = _name_and_label(path, base)
        if label in INPUTS:
            results.inputs[name] = path
        elif label in REALS:
            results.real[name] = path
        else:
            results.generated.setdefault(label or "generated", {})[name] = path
    if not results.generated:
        raise ValueError(f"--results {folder}: holds no generated image (names ending in "
                         f"_{', _'.join(GENERATED)})")
    return results


def _name_and_label(path: Path, base: Path) -> tuple[str, str | None]:
    """Split the path of an image into the name of its item and its label, None if it has no known one."""
    labels = (*INPUTS, *REALS, *GENERATED)
    if path.parent != base and path.parent.name in labels:
        return path.stem, path.parent.name
    for label in sorted(labels, key=len, reverse=True):
        if path.stem.endswith(f"_{label}"):
            return path.stem.removesuffix(f"_{label}"), label
    return path.stem, None


def read_metrics(folder: str | os.PathLike) -> dict[str, Any]:
    """Read ``metrics.json`` of a folder of results; without the file, all entries are empty."""
    path = Path(folder) / "metrics.json"
    if not path.is_file():
        return {"name": Path(folder).name, "model": None, "protocol": {}, "metrics": {}, "networks": {}}
    return {"protocol": {}, "metrics": {}, "networks": {}, **read_json(path)}


def by_reason(not_computed: dict[str, str]) -> list[str]:
    """List why metrics have no value, one line for all metrics with the same reason."""
    lines = []
    for reason in dict.fromkeys(not_computed.values()):
        metrics = [metric for metric in not_computed if not_computed[metric] == reason]
        lines.append(f"{', '.join(metrics)}: {reason}")
    return lines

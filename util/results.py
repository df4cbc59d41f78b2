"""Folders of results: write those of test.py, and read those of this and other projects."""
from __future__ import annotations

import os
import shutil
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tqdm import tqdm

from compression.checkpoints import is_run_id, read_json, write_json
from compression.checkpoints.records import Count, Length, Limits, read_record
from compression.distill.hed import hed_path
from compression.metrics import ImageMetrics
from compression.metrics.evaluator import HED_KEY
from compression.metrics.hed_distance import HEDDistance
from compression.metrics.image import as_saved
from compression.runtime.text import name_some
from data import create_dataset
from data.image_folder import make_dataset
from data.item_names import files_by_name
from options.whole_images import describe_size

from .html import HTML
from .run_folder import results_folder
from .tables import results_table
from .util import save_image, tensor2im

# "real" is the input in the results of --model test, which has no ground truths
INPUTS = ("real_A", "input_label", "input_image", "input", "real")
REALS = ("real_B", "real_image", "target")
GENERATED = ("student", "original", "exported", "fake_B", "fake_A", "fake", "synthesized_image", "generated")
LABELS = sorted((*INPUTS, *REALS, *GENERATED), key=len, reverse=True)
Amount = Annotated[float, Limits(0, 1e18)]
_Few = Length(30)  # networks or metrics
NAMED = 10  # the maximum number of files that an error message names


@dataclass
class Cost:
    """The cost of a network in ``metrics.json``."""

    macs: Amount
    macs_exact: Amount
    params: Amount
    latency_ms: Amount
    device: str = ""
    machine: str = ""  # not in files of earlier versions, like the following entries
    threads: Amount = 0
    date: str = ""


@dataclass
class Metrics:
    """The entries of ``metrics.json`` that are read back."""

    name: str
    protocol: dict[str, Any]
    metrics: Annotated[dict[str, Annotated[dict[str, float], _Few]], _Few]
    networks: Annotated[dict[str, Cost], _Few]
    images: Annotated[dict[str, Count], _Few] = field(default_factory=dict)
    not_computed: Annotated[dict[str, str], _Few] = field(default_factory=dict)
    run: str | None = None
    supernet_run: str | None = None


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


def make_results(opt: Namespace, model, score: Callable[[Path, dict[str, Any]], None] | None = None
                 ) -> tuple[Path, dict[str, Any]]:
    """Run a model on the data set and write the results, which replace earlier ones when they are complete.

    Args:
        opt: parsed options.
        model: the model.
        score: adds metrics to the content of ``metrics.json``, given the folder that holds the new results.

    Returns:
        The folder with images, ``index.html`` and ``metrics.json``, and the content of the latter.

    Raises:
        ValueError: if a part of the folder is a symbolic link.
    """
    folder = results_folder(opt)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    check_results_folder(folder, unfinished)
    dataset = create_dataset(opt)
    print(f"images: {describe_size(opt)}")
    if opt.eval:
        model.eval()
    shutil.rmtree(unfinished, ignore_errors=True)
    # with `score`, the distance is one of its metrics
    hed = HEDDistance(model.device) if not score and hed_path().is_file() else None
    rows, scores, size = run_dataset(opt, model, dataset, unfinished / "images", hed)
    record = write_results(opt, unfinished, rows, scores, model.report(size), size, runs_of(model))
    try:
        if score:
            score(unfinished, record)
    except ValueError:  # the images are complete: keep them unless they would replace scored ones
        if not (folder / "metrics.json").exists():
            replace_results(folder, unfinished)
        raise
    replace_results(folder, unfinished)
    return folder, record


def runs_of(model) -> dict[str, str]:
    """Return the identifiers of the runs of a model and, for a student, of its supernet, as far as known."""
    meta = getattr(getattr(model, "netG", None), "meta", None) or {}
    runs = {"run": model.run, "supernet_run": meta.get("supernet_run")}
    return {name: run for name, run in runs.items() if is_run_id(run)}


def check_results_folder(*folders: Path) -> None:
    """Check that no part of folders of results leads out of them, because files are replaced and deleted.

    The folder above them may be a link, as to a larger disk.

    Raises:
        ValueError: if a folder, or a folder below it, is a symbolic link, or one above it is a file.
    """
    for folder in folders:
        for path in folder.parents:
            if os.path.lexists(path) and not path.is_dir():
                raise ValueError(f"{path} is not a folder; choose another --results_dir")
        below = (Path(root) / name for root, names, _ in os.walk(folder) for name in names)
        for path in (folder, *below):
            if path.is_symlink():
                raise ValueError(f"{path} is a symbolic link; results are only written into their own "
                                 "folder. Remove the link, or choose another --results_dir")


def replace_results(folder: Path, unfinished: Path) -> None:
    """Replace earlier results by new ones.

    The images of another model are removed, too: its ground truths, for example, are not those of the new
    images. Images without a known label stay.

    Args:
        folder: the folder of results.
        unfinished: the folder that holds the new results; it is removed.
    """
    (folder / "metrics.json").unlink(missing_ok=True)
    for path in (folder / "images").rglob("*.png"):
        if _split(path.stem)[1]:
            path.unlink()
    # metrics.json is the last: with it, the results are complete
    images = [path.relative_to(unfinished) for path in unfinished.rglob("*.png")]
    for path in (*images, Path("index.html"), Path("metrics.json")):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(unfinished / path, target)
    shutil.rmtree(unfinished, ignore_errors=True)


def run_dataset(opt: Namespace, model, dataset, folder: Path, hed: HEDDistance | None = None
                ) -> tuple[list, dict, tuple[int, int]]:
    """Run a model on up to ``--num_test`` items of a data set and save the images in a folder.

    Args:
        opt: parsed options.
        model: the model.
        dataset: the data set.
        folder: the folder of the images.
        hed: computes the perceptual distance, None for no such score.

    Returns:
        The rows (name of the item, labels of its images); the scores, network
        -> metric -> value; and the most frequent size of the images, (height, width).
    """
    # images that are scaled to --aspect_ratio are not stretched again
    has_ratio = opt.preprocess == "fixed" or getattr(opt, "label_nc", 0)
    stretch = 1.0 if has_ratio else opt.aspect_ratio
    metrics: dict[str, ImageMetrics] = {}
    distances: dict[str, list[float]] = {}
    rows = []
    sizes: Counter[tuple[int, int]] = Counter()
    count = min(opt.num_test, len(dataset))
    names = dataset.dataset.item_names()  # raises before images are generated
    for i, batch in enumerate(tqdm(dataset, total=count, desc="test", unit="img", dynamic_ncols=True)):
        if i >= count:
            break
        model.set_input(batch)
        model.test()
        for name, (image, target) in model.scored_pairs().items():
            metrics.setdefault(name, ImageMetrics()).update(image, target)
            if hed:
                distances.setdefault(name, []).extend(hed(as_saved(image), as_saved(target)).tolist())
        visuals = model.get_current_visuals()
        height, width = next(iter(visuals.values())).shape[-2:]
        sizes[height, width] += 1
        for label, image in visuals.items():
            path = folder / f"{names[i]}_{label}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_image(tensor2im(image), path, stretch)
        rows.append((names[i], list(visuals)))
    scores = {name: metric.compute() for name, metric in metrics.items()}
    for name, values in distances.items():
        scores[name][HED_KEY] = sum(values) / len(values)
    (size, _), *others = sizes.most_common()
    if others:
        print(f"the images have {len(sizes)} sizes; MACs and latency are for the most frequent one")
    return rows, scores, size


def write_results(opt: Namespace, folder: Path, rows: list, scores: dict, costs: dict,
                  size: tuple[int, int], runs: Mapping[str, str]) -> dict[str, Any]:
    """Write the page with its table and images, and ``metrics.json``; returns the content of the latter.

    Args:
        opt: parsed options.
        folder: the folder of results.
        rows: (name of the item, labels of its images).
        scores: network -> metric -> value.
        costs: network -> its MACs, parameters and latency.
        size: (height, width) of the images.
        runs: the entries of :func:`runs_of`.
    """
    images = dict.fromkeys((*costs, *scores), len(rows))
    page = HTML(folder, f"Experiment = {opt.name}, Phase = {opt.phase}, Epoch = {opt.epoch}")
    header, table = results_table(costs, scores, images)
    page.add_header(f"{opt.name}: {len(rows)} images, {size[0]}x{size[1]} (height x width)")
    page.add_table(header, table)
    for name, labels in rows:
        page.add_header(name)
        files = [f"{name}_{label}.png" for label in labels]
        page.add_images(files, labels, files, width=opt.display_winsize)
    page.save()
    protocol = {"images": len(rows), "height": size[0], "width": size[1], "phase": opt.phase,
                "epoch": opt.epoch, "values": "8-bit images in [0, 1]; PSNR and SSIM are means over images"}
    record = {"name": opt.name, "model": opt.model, **runs, "protocol": protocol, "images": images,
              "metrics": scores, "networks": costs}
    write_json(page.web_dir / "metrics.json", record)
    return record


def read_results(folder: str | os.PathLike) -> Results:
    """List the images of a folder of results.

    Three layouts are known: ``images/<name>_<label>.png`` (of test.py, pix2pix and pix2pixHD) and
    ``images/<label>/<name>.png`` (of SPADE), both next to an ``index.html``, and a plain folder, all of whose
    images are labeled ``generated``. Sub-folders are part of the names.

    Raises:
        ValueError: if the folder does not exist or holds no generated image, or if it is not clear which
            file is meant.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"--results {folder}: no such folder")
    page = folder.parent if folder.name == "images" else folder
    has_page = (page / "index.html").is_file() and (page / "images").is_dir()
    base = page / "images" if has_page else folder
    files = [Path(path) for path in make_dataset(base, flag="--results")]
    if not has_page:
        _require_plain(folder, files)
        return Results(folder, {"generated": files_by_name(files, base, "--results")})
    in_folders = all(path.relative_to(base).parts[0] in LABELS for path in files)
    if in_folders and not all(_split(path.stem)[1] for path in files):
        groups = {label: (base / label, [path for path in files if path.relative_to(base).parts[0] == label])
                  for label in LABELS}
    else:
        groups = {}
        for path in files:
            groups.setdefault(_split(path.stem)[1], (base, []))[1].append(path)
    results = Results(folder)
    for label, (root, paths) in groups.items():
        named = files_by_name(paths, root, "--results")
        if root == base and label:
            named = {name.removesuffix(f"_{label}"): path for name, path in named.items()}
        if label in INPUTS:
            results.inputs |= named
        elif label in REALS:
            results.real |= named
        elif named:
            results.generated[label or "generated"] = named
    if not results.generated:
        raise ValueError(f"--results {folder}: holds no generated image (names ending in "
                         f"_{', _'.join(GENERATED)})")
    return results


def _require_plain(folder: Path, files: Sequence[Path]) -> None:
    """Check that a folder without a page holds no images of a page, whose inputs would count as generated.

    Raises:
        ValueError: if inputs or real photos lie next to generated images of the same item.
    """
    labels_by_item: dict[Path, set[str | None]] = {}
    for path in files:
        item, label = _split(path.stem)
        labels_by_item.setdefault(path.with_name(item), set()).add(label)
    mixed = [item.name for item, labels in labels_by_item.items()
             if labels & {*GENERATED} and labels & {*INPUTS, *REALS}]
    if mixed:
        raise ValueError(f"--results {folder}: inputs or real photos lie next to generated images of "
                         f"{len(mixed)} items ({name_some(mixed)}), but there is no index.html next to a "
                         "folder images/ that says so. Give the folder of the page, or a folder with "
                         "generated images only")


def _split(stem: str) -> tuple[str, str | None]:
    """Split the stem of a file into the name of its item and its label, None if it has no known one."""
    for label in LABELS:
        if stem.endswith(f"_{label}"):
            return stem.removesuffix(f"_{label}"), label
    return stem, None


def read_metrics(folder: str | os.PathLike) -> dict[str, Any]:
    """Read ``metrics.json`` of a folder of results; without the file, all entries are empty."""
    path = Path(folder) / "metrics.json"
    if not path.is_file():
        return {"name": Path(folder).name, "model": None, "protocol": {}, "images": {}, "metrics": {},
                "networks": {}}
    record = {"name": Path(folder).name, "protocol": {}, "metrics": {}, "networks": {}, **read_json(path)}
    read_record(Metrics, record, path)
    if "images" not in record:  # as in files of earlier versions
        count = record["protocol"].get("images")
        record["images"] = dict.fromkeys(record["metrics"], count) if isinstance(count, int) else {}
    return record


def by_reason(not_computed: dict[str, str]) -> list[str]:
    """List why metrics have no value, one line for all metrics with the same reason."""
    lines = []
    for reason in dict.fromkeys(not_computed.values()):
        metrics = [metric for metric in not_computed if not_computed[metric] == reason]
        lines.append(f"{', '.join(metrics)}: {reason}")
    return lines

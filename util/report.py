"""The report of a run: one self-contained page with scores, curves and images side by side."""
from __future__ import annotations

import base64
import io
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import dominate
from dominate.tags import (
    div,
    figcaption,
    figure,
    h1,
    h2,
    img,
    input_,
    meta,
    p,
    script,
    style,
    table,
    tbody,
    td,
    th,
    thead,
    tr,
)
from dominate.util import raw
from PIL import Image

from compression.checkpoints import read_json, run_of, write_text
from compression.runtime.text import printable
from data.image_folder import opened
from options.run_checks import is_folder_name

from .html import asset, page_text
from .report_plots import Plot, plot_search, plot_trade_off, plot_training, read_front
from .results import Results, by_reason, read_metrics, read_results
from .tables import results_table

PAPER = Path(__file__).resolve().parents[1] / "benchmarks" / "paper_rows.json"
ITEMS = 12  # items whose images are on the page
WIDTH = 384  # the maximum width of an image on the page, in pixels


def write_report(opt: Namespace, folder: str | Path, record: dict[str, Any]) -> Path:
    """Write ``results/NAME/report.html``.

    Args:
        opt: parsed options of evaluate.py.
        folder: the results that were scored.
        record: the content of their ``metrics.json``.

    Returns:
        The path of the page.

    Raises:
        ValueError: if a run of ``--runs`` has not been evaluated, or ``--baseline`` is not in the paper.
    """
    folder = Path(folder)
    name = record["name"]
    run = Path(opt.checkpoints_dir) / name
    is_own_run = is_same_run(record.get("run"), run_of(run / "train_opt.json"))
    supernet = run_options(run).get("supernet") if is_own_run else None
    searched = read_metrics(Path(opt.results_dir) / supernet / folder.name) if supernet else None
    is_own_supernet = is_same_run(record.get("supernet_run"), searched.get("run") if searched else None)
    others = other_runs(opt, supernet, folder.name)
    doc = dominate.document(title=f"{name}: {folder.name}")
    with doc.head:
        meta(charset="utf-8")
        meta(name="viewport", content="width=device-width, initial-scale=1")
        style(raw("\n" + asset("report.css")))
    with doc:
        h1(name)
        p(protocol_line(record["protocol"]))
        if not is_own_run:
            p(f"{run} holds another run than the one of these images: its search and training are not shown.")
        if not is_own_supernet:
            p(f"The results of {supernet} are of another run than the supernet of this one, and not shown.")
            searched = None
        add_table(*results_table(*network_rows(record, searched)))
        add_remarks(record, searched, supernet)
        search_run = run if (run / "search").is_dir() else Path(opt.checkpoints_dir) / (supernet or name)
        search = search_run / "search"
        has_search = is_own_run and is_same_run(record.get("supernet_run"), run_of(search / "pareto.json"))
        add_trade_off(opt, record, searched, others, read_front(search) if has_search else {"front": []})
        add_plots("Search", plot_search(search) if has_search else [])
        add_plots("Training", plot_training(run) if is_own_run else [])
        add_images(read_results(folder))
        add_protocol(record["protocol"])
        with div(id="zoom"):
            img(src="", alt="enlarged")
        script(raw("\n" + asset("report.js")))
    path = (folder.parent if folder.parent.name == name else folder) / "report.html"
    write_text(path, page_text(doc))
    return path


def is_same_run(one: str | None, other: str | None) -> bool:
    """Return whether two identifiers of runs are equal, or one is unknown."""
    return one == other or not (one and other)


def run_options(run: str | Path) -> dict[str, Any]:
    """Read ``train_opt.json`` of a run; empty where there is none."""
    path = Path(run) / "train_opt.json"
    options = read_json(path) if path.is_file() else {}
    supernet = options.get("supernet")
    if supernet is not None and not (isinstance(supernet, str) and is_folder_name(supernet)):
        raise ValueError(f"{path}: 'supernet' must be the name of a run, got {printable(repr(supernet), 60)}")
    return options


def other_runs(opt: Namespace, supernet: str | None, tag: str) -> list[dict[str, Any]]:
    """Read ``metrics.json`` of the runs of ``--runs``; the supernet is on the page as `after search` already.

    Raises:
        ValueError: if a run has not been evaluated.
    """
    records = []
    for other in opt.runs:
        if other == supernet:
            continue
        folder = Path(opt.results_dir) / other / tag
        metrics = read_metrics(folder)
        if not metrics["metrics"]:
            raise ValueError(f"--runs {other}: {folder} has no metrics.json; run evaluate.py --name {other} "
                             "first")
        records.append(metrics)
    return records


def protocol_line(protocol: dict[str, Any]) -> str:
    """Describe in one line which images were scored."""
    size = f"{protocol.get('width', '?')}x{protocol.get('height', '?')}"
    if "sizes" in protocol:
        size = "several sizes, mostly " + size
    return (f"{protocol.get('images', '?')} images of {size} pixels, phase {protocol.get('phase', '-')}, "
            f"checkpoint {protocol.get('epoch', '-')}")


def network_rows(record: dict, searched: dict | None) -> tuple[dict, dict, dict]:
    """Arrange the rows of the table: original, after search, distilled, and all other networks.

    Args:
        record: ``metrics.json`` of the run.
        searched: that of its supernet, whose student is the one after search.

    Returns:
        Costs, scores, and numbers of images by row.
    """
    costs, scores, images = (dict(record[entry]) for entry in ("networks", "metrics", "images"))
    if searched and "student" in searched["metrics"]:
        costs = _with_searched(costs, searched["networks"]["student"])
        scores = _with_searched(scores, searched["metrics"]["student"])
        images = _with_searched(images, searched["images"].get("student", "-"))
    if "real" in scores:
        scores["real photos"] = scores.pop("real")
        images["real photos"] = images.pop("real", "-")
    return costs, scores, images


def _with_searched(rows: dict, searched: Any) -> dict:
    """Insert the row `after search` behind the original, and rename the student to `distilled`."""
    ordered = {"original": rows["original"]} if "original" in rows else {}
    ordered["after search"] = searched
    if rows.get("student"):
        ordered["distilled"] = rows["student"]
    return ordered | {name: row for name, row in rows.items() if name not in ("original", "student")}


def add_remarks(record: dict, searched: dict | None, supernet: str | None) -> None:
    """Add why a row is missing or not comparable, and why metrics were not computed."""
    if searched is not None and not searched["metrics"]:
        p(f"The student before distillation is not shown: evaluate.py --name {supernet} has not been run.")
    elif searched is not None and searched["protocol"].get("images") != record["protocol"].get("images"):
        p(f"The row after search is of {searched['protocol'].get('images', '?')} images: evaluate.py --name "
          f"{supernet} was run with others.")
    p(latency_remark(record, searched))
    for reason in by_reason(record.get("not_computed", {})):
        p(f"not computed: {reason}")


def latency_remark(record: dict, searched: dict | None) -> str:
    """Say under which conditions latencies were measured, if the row after search has another measurement."""
    if not (searched and "student" in searched["networks"] and record["networks"]):
        return ""
    after_search = measured_on(searched["networks"]["student"])
    others = measured_on(next(iter(record["networks"].values())))
    return ("Latencies of different measurements are not comparable. The row after search was measured on "
            f"{after_search}; the other rows on {others}. To compare them, measure both on one idle machine.")


def measured_on(cost: dict[str, Any]) -> str:
    """Describe where and when a latency was measured; files of earlier versions do not say it."""
    threads = f"{cost['threads']:.0f} threads" if cost.get("threads") else "threads unknown"
    machine, device, date = (cost.get(name, f"{name} unknown") for name in ("machine", "device", "date"))
    return printable(f"{machine} ({device}, {threads}, {date})")


def add_trade_off(opt: Namespace, record: dict, searched: dict | None, others: list[dict],
                  pareto: dict) -> None:
    """Add the section of quality against MACs, one plot for each metric."""
    points = trade_off_points(record, searched, others, pareto["front"], opt.baseline)
    images = pareto.get("images")
    note = ""
    if images:
        note = f"Sub-networks have the supernet's weights, and are scored on the search's {images} images."
    add_plots("Quality against MACs", [plot_trade_off(metric, points[metric]) for metric in points], note)


def trade_off_points(record: dict, searched: dict | None, others: list[dict], front: list[dict],
                     baseline: str | None) -> dict[str, list[tuple[str, float, float, str]]]:
    """Collect the points of every network whose MACs are known.

    Returns:
        metric -> [(label, MACs, value, group)].
    """
    costs, scores, _ = network_rows(record, searched)
    rows = [(label, costs[label]["macs"], scores[label], label) for label in costs if label in scores]
    for point in front:
        rows.append(("sub-network", point["macs"], point.get("metrics", {}), "sub-networks"))
    for other in others:
        for label, cost in other["networks"].items():
            if label in other["metrics"] and label != "original":
                rows.append((other["name"], cost["macs"], other["metrics"][label], other["name"]))
    points: dict[str, list] = {}
    for label, macs, values, group in rows:
        for metric, value in values.items():
            points.setdefault(metric, []).append((label, macs, value, group))
    for metric, label, macs, value in paper_points(baseline):
        if metric in points:
            points[metric].append((label, macs, value, "paper"))
    return points


def paper_points(baseline: str | None) -> list[tuple[str, str, float, float]]:
    """List the paper's students as (metric, label, MACs, value); `baseline` is ``dataset:original`` or None.

    Raises:
        ValueError: if the paper has no such rows.
    """
    if not baseline:
        return []
    dataset, _, original = baseline.partition(":")
    rows = [row for row in json.loads(PAPER.read_text(encoding="utf-8"))["students"]
            if row["dataset"] == dataset and row["family"] == original]
    if not rows:
        raise ValueError(f"--baseline {baseline}: unknown; the paper has cityscapes and edges2shoes, each "
                         "with :resnet and :unet, and cityscapes with :pix2pixhd and :spade")
    return [(row["metric"], f"UGC paper, {row['labels_percent']} % labels", row["macs_g"] * 1e9, row["score"])
            for row in rows]


def add_table(header: list, rows: list) -> None:
    """Add a table of text that scrolls on narrow screens."""
    with div(cls="scroll"), table():
        with thead(), tr():
            for cell in header:
                th(cell)
        with tbody():
            for row in rows:
                with tr():
                    for cell in row:
                        td(cell)


def add_plots(heading: str, plots: list[Plot], note: str = "") -> None:
    """Add a section of plots under a note; nothing if there are no plots."""
    if not plots:
        return
    h2(heading)
    p(note)
    with div(cls="plots"):
        for svg, caption in plots:
            with figure():
                div(raw(svg[svg.index("<svg"):]))
                figcaption(caption)


def add_images(results: Results) -> None:
    """Add rows of images: the input, every generated image, the real photo, and a slider over two of them."""
    names = sorted(set.intersection(*(set(files) for files in results.generated.values())))
    names = names[:: max(1, len(names) // ITEMS)][:ITEMS]
    if not names:
        return
    labels = [label for label in ("original", "student") if label in results.generated]
    labels += [label for label in results.generated if label not in labels]
    h2("Side by side")
    p("The slider shows the first generated image on its left and the next on its right; click an image "
      "to enlarge it.")
    for name in names:
        files = {"input": results.inputs.get(name)}
        files |= {label: results.generated[label][name] for label in labels}
        files |= {"real": results.real.get(name)}
        columns = {label: embed(path) for label, path in files.items() if path}
        add_image_row(name, columns, labels)


def add_image_row(name: str, columns: dict[str, str], labels: list[str]) -> None:
    """Add the images of one item.

    Args:
        name: the item.
        columns: label -> image as a data URI.
        labels: the labels of generated images. The slider compares the first two, or the only one with the
            real photo.
    """
    left, right = labels[0], labels[1] if len(labels) > 1 else "real"
    with div(cls="images"):
        for i, (label, data) in enumerate(columns.items()):
            with figure():
                img(src=data, alt=f"{name}, {label}", loading="lazy")
                figcaption(label if i else f"{label} ({name})")
        if right in columns:
            with figure(cls="compare"):
                with div(style="position: relative"):
                    img(src=columns[left], alt=f"{name}, left of the slider")
                    img(src=columns[right], alt=f"{name}, right of the slider")
                    input_(type="range", min="0", max="100", value="50", aria_label=f"compare {name}")
                figcaption(f"{left} | {right}")


def embed(path: Path) -> str:
    """Encode an image file as a data URI (JPEG), at most `WIDTH` pixels wide."""
    with opened(path) as image:
        image = image.convert("RGB")
        if image.width > WIDTH:
            size = (WIDTH, round(image.height * WIDTH / image.width))
            image = image.resize(size, Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def add_protocol(protocol: dict[str, Any]) -> None:
    """Add the complete protocol as a table."""
    h2("Protocol")
    with div(cls="scroll"), table():
        for key, value in protocol.items():
            text = str(value)
            if isinstance(value, dict):
                text = "; ".join(f"{part}: {detail}" for part, detail in value.items())
            with tr():
                td(key)
                td(text, cls="text")

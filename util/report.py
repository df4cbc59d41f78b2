"""The report of a run: one self-contained page with figures, curves and images side by side."""
import base64
import io
import json
from pathlib import Path

import dominate
from dominate.tags import (div, figcaption, figure, h1, h2, img, input_, meta, p, script, style,
                           table, tbody, td, th, thead, tr)
from dominate.util import raw
from PIL import Image

from compression.checkpoints.files import write_text
from compression.metrics import better_sign

from .evaluation import read_jsonl
from .plots import draw, macs_axis
from .results import by_reason, read_metrics, read_results, results_table, title

PAPER = Path(__file__).resolve().parents[1] / "benchmarks" / "paper_rows.json"
ITEMS = 12  # images on the page
WIDTH = 384  # most pixels of an image on it
_COLOURS = {"original": "#57606a", "after search": "#bf8700", "distilled": "#1f6feb", "sub-networks": "#9aa5b1",
            "paper": "#8250df"}
_STYLE = """
:root { color-scheme: light dark; --line: #d0d7de; --soft: #57606a; --back: #ffffff; --ink: #1f2328; }
@media (prefers-color-scheme: dark) { :root { --line: #30363d; --soft: #9aa5b1; --back: #0d1117; --ink: #e6edf3; }
  svg { background: #ffffff; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 0 auto; max-width: 1180px;
  padding: 1rem; }
h1 { font-size: 1.6rem; margin: .2rem 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p, figcaption { color: var(--soft); margin: .3rem 0; overflow-wrap: anywhere; } figcaption { font-size: .85rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .7rem; text-align: right; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; } th:first-child, td:first-child { text-align: left; } td.text { white-space: normal; text-align: left; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 1rem; }
figure { margin: 0; } figure svg { width: 100%; height: auto; }
.images { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(46%, 200px), 1fr)); gap: .5rem; margin-bottom: 1.2rem; }
.images img { width: 100%; height: auto; display: block; cursor: zoom-in; }
.compare { position: relative; } .compare img + img { position: absolute; inset: 0; clip-path: inset(0 0 0 50%); }
.compare input { position: absolute; left: 0; bottom: 4px; width: 100%; margin: 0; cursor: ew-resize; }
#zoom { position: fixed; inset: 0; background: #000c; display: none; place-items: center; cursor: zoom-out; }
#zoom img { max-width: 96vw; max-height: 96vh; width: auto; height: 92vh; object-fit: contain; image-rendering: auto; }
"""
_SCRIPT = """
document.querySelectorAll('.compare input').forEach(slider => slider.addEventListener('input', () => {
  slider.parentElement.querySelectorAll('img')[1].style.clipPath = `inset(0 0 0 ${slider.value}%)`; }));
const zoom = document.getElementById('zoom');
document.querySelectorAll('.images figure:not(.compare) img').forEach(image => image.addEventListener('click', () => {
  zoom.firstElementChild.src = image.src; zoom.style.display = 'grid'; }));
zoom.addEventListener('click', () => { zoom.style.display = 'none'; });
"""


def write_report(opt, folder, found):
    """Write ``results/NAME/report.html``.

    Args:
        opt: parsed options of evaluate.py.
        folder: the results that were scored.
        found: their ``metrics.json``.

    Returns:
        The path of the page.
    """
    folder = Path(folder)
    name = found["name"]
    run = Path(opt.checkpoints_dir) / name
    supernet = run_options(run).get("supernet")
    searched = read_metrics(Path(opt.results_dir) / supernet / folder.name) if supernet else None
    runs = [other for other in opt.runs if other != supernet]  # whose student is in the page anyway, as `after search`
    others = [read_metrics(Path(opt.results_dir) / other / folder.name) for other in runs]
    for other, metrics in zip(runs, others):
        if not metrics["metrics"]:
            raise ValueError(f"--runs {other}: {Path(opt.results_dir) / other / folder.name} has no metrics.json; evaluate it "
                             "first")
    doc = dominate.document(title=f"{name}: {folder.name}")
    with doc.head:
        meta(charset="utf-8")
        meta(name="viewport", content="width=device-width, initial-scale=1")
        style(raw(_STYLE))
    with doc:
        h1(name)
        p(protocol_line(found["protocol"]))
        rows = network_rows(found, searched)
        add_table(*results_table(*rows))
        if supernet and not searched["metrics"]:
            p(f"The student before distillation is not shown: evaluate.py --name {supernet} has not been run.")
        elif supernet and searched["protocol"].get("images") != found["protocol"].get("images"):
            p(f"The row after search is of {searched['protocol'].get('images', '?')} images: evaluate.py --name {supernet} was "
              "run with others.")
        for reason in by_reason(found.get("not_computed", {})):
            p(f"not computed: {reason}")
        search = (run if (run / "search").is_dir() else Path(opt.checkpoints_dir) / (supernet or name)) / "search"
        points = trade_off_points(found, searched, others, opt, pareto(search)["front"])
        scored = pareto(search).get("images")
        add_plots("Quality against MACs", [plot_trade_off(metric, points[metric]) for metric in points],
                  f"Sub-networks have the supernet's weights, and are scored on the search's {scored} images." if scored else "")
        add_plots("Search", plot_search(search))
        add_plots("Training", plot_training(run))
        add_images(read_results(folder))
        add_protocol(found["protocol"])
        with div(id="zoom"):
            img(src="", alt="enlarged")
        script(raw(_SCRIPT))
    path = (folder.parent if folder.parent.name == name else folder) / "report.html"
    write_text(path, doc.render())
    return path


def run_options(run):
    """``train_opt.json`` of a run; empty where there is none."""
    path = Path(run) / "train_opt.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def protocol_line(protocol):
    """What was scored, in a line."""
    size = f"{protocol.get('width', '?')}x{protocol.get('height', '?')}"
    return f"{protocol.get('images', '?')} images of {size} pixels, phase {protocol.get('phase', '-')}, " \
           f"checkpoint {protocol.get('epoch', '-')}"


def network_rows(found, searched):
    """(costs, scores) by row: original, after search, distilled, and whatever else was scored."""
    networks, scores = dict(found["networks"]), dict(found["metrics"])
    if searched and "student" in searched["metrics"]:
        for values in (networks, scores):
            distilled = values.pop("student", None)
            extra = {key: values.pop(key) for key in list(values) if key != "original"}
            source = searched["networks"] if values is networks else searched["metrics"]
            values |= {"after search": source["student"], **({"distilled": distilled} if distilled else {}), **extra}
    if "real" in scores:
        scores["real photos"] = scores.pop("real")
    return networks, scores


def trade_off_points(found, searched, others, opt, front):
    """metric -> [(label, MACs, value, color key)] for every network whose MACs are known."""
    networks, scores = network_rows(found, searched)
    rows = [(label, networks[label]["macs"], scores[label], label) for label in networks if label in scores]
    for point in front:
        rows.append(("sub-network", point["macs"], point.get("metrics", {}), "sub-networks"))
    for other in others:
        rows += [(other["name"], other["networks"][label]["macs"], other["metrics"][label], other["name"])
                 for label in other["networks"] if label in other["metrics"] and label != "original"]
    points = {}
    for label, macs, values, color in rows:
        for metric, value in values.items():
            points.setdefault(metric, []).append((label, macs, value, color))
    for metric, label, macs, value in paper_points(opt.baseline):
        if metric in points:
            points[metric].append((label, macs, value, "paper"))
    return points


def paper_points(baseline):
    """(metric, label, MACs, value) of the paper's students; `baseline` is ``dataset:original`` or None."""
    if not baseline:
        return []
    dataset, _, original = baseline.partition(":")
    rows = [row for row in json.loads(PAPER.read_text(encoding="utf-8"))["students"]
            if row["dataset"] == dataset and row["family"] == original]
    if not rows:
        raise ValueError(f"--baseline {baseline}: the paper has cityscapes or edges2shoes with :resnet, :unet, and "
                         "cityscapes with :pix2pixhd, :spade")
    return [(row["metric"], f"UGC paper, {row['labels_percent']} % labels", row["macs_g"] * 1e9, row["score"]) for row in rows]


def add_table(header, rows):
    """A table of text that scrolls on narrow screens."""
    with div(cls="scroll"):
        with table():
            with thead():
                with tr():
                    for cell in header:
                        th(cell)
            with tbody():
                for row in rows:
                    with tr():
                        for cell in row:
                            td(cell)


def add_plots(heading, plots, note=""):
    """A section of plots, each (SVG text, caption), under a note; nothing without plots."""
    if not plots:
        return
    h2(heading)
    p(note)
    with div(cls="plots"):
        for svg, caption in plots:
            with figure():
                raw_svg(svg)
                figcaption(caption)


def raw_svg(svg):
    """Inline SVG."""
    div(raw(svg[svg.index("<svg"):]))


def plot_trade_off(metric, points):
    """Quality against MACs of one metric."""
    def paint(axes):
        groups = {}
        for label, macs, value, key in points:
            groups.setdefault(key, []).append((macs / 1e9, value, label))
        cycle = iter(("#1a7f37", "#cf222e", "#0550ae", "#953800") * 4)
        for key, found in groups.items():
            color = _COLOURS.get(key) or next(cycle)
            line = "-" if key in ("sub-networks", "paper") or len(found) > 2 else ""
            found.sort()
            axes.plot([x for x, _, _ in found], [y for _, y, _ in found], marker="o", linestyle=line, color=color, label=key)
        axes.set(ylabel=title(metric))
        macs_axis(axes)
        axes.legend(fontsize=8)

    return draw(paint), f"{title(metric)}: {'lower' if better_sign(metric) > 0 else 'higher'} is better"


def pareto(search):
    """``pareto.json`` of a search; an empty front where there is none."""
    path = search / "pareto.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"front": [], "criterion": ""}


def plot_search(search):
    """Candidates and Pareto front of ``search.py``."""
    front = pareto(search)
    if not front["front"]:
        return []
    sign = better_sign(front["criterion"])  # the search turns its scores so that lower is better
    chosen = {name: json.loads((search / f"{name}.json").read_text(encoding="utf-8"))
              for name in ("student", "teacher_wide", "teacher_deep") if (search / f"{name}.json").is_file()}

    def paint(axes):
        axes.plot([point["macs"] / 1e9 for point in front["front"]], [sign * point["score"] for point in front["front"]], "o--",
                  color=_COLOURS["distilled"], markersize=4, label="Pareto front")
        for (name, found), marker in zip(chosen.items(), "osD"):
            axes.plot(found["macs"] / 1e9, sign * found["score"], marker, markersize=9, label=name.replace("_", " "))
        axes.set(ylabel=front["criterion"])
        macs_axis(axes)
        axes.legend(fontsize=8)

    tried, state_file = "", search / "state.json"
    if state_file.is_file():
        searches = json.loads(state_file.read_text(encoding="utf-8"))["searches"]
        tried = f" of {sum(len(s['evolution']['scores']) for s in searches.values())} candidates"
    return [(draw(paint), f"{front['criterion']} with the supernet's weights, {'lower' if sign > 0 else 'higher'} is better; the front{tried}")]


def plot_training(run):
    """Losses, validation and acceptance of fake labels over the epochs."""
    rows, plots = read_jsonl(run / "losses.jsonl"), []
    if rows:
        per_epoch = {}
        for row in rows:
            per_epoch.setdefault(row["epoch"], []).append(row)
        epochs = sorted(per_epoch)

        def mean(name):
            values = [[row[name] for row in per_epoch[epoch] if name in row] for epoch in epochs]
            return [sum(found) / len(found) if found else float("nan") for found in values]

        names = [name for name in rows[-1] if name not in ("epoch", "iters")]
        accepted = [name for name in names if name.endswith("_accepted")]
        losses = [name for name in names if name not in accepted]

        def paint_losses(axes):
            for i, name in enumerate(losses):
                axes.plot(epochs, mean(name), marker=".", color=f"C{i % 10}", linestyle="-" if i < 10 else "--", label=name)
            axes.set(xlabel="epoch", ylabel="loss", yscale="log")
            axes.legend(fontsize=6, ncols=2)

        def paint_accepted(axes):
            for name in accepted:
                axes.plot(epochs, mean(name), marker=".", label=name.removesuffix("_accepted") + " teacher")
            axes.set(xlabel="epoch", ylabel="accepted", ylim=(0, 1.02))
            axes.legend(fontsize=8)

        plots.append((draw(paint_losses), "Losses, weighted, mean of what was logged in an epoch"))
        if accepted:
            plots.append((draw(paint_accepted), "Share of fake labels that the Adaptive Data Filter accepts"))
    for name in [key for key in next(iter(read_jsonl(run / "validation.jsonl")), {}) if key != "epoch"]:
        validation = read_jsonl(run / "validation.jsonl")

        def paint_validation(axes, name=name):
            axes.plot([row["epoch"] for row in validation], [row[name] for row in validation], marker="o",
                      color=_COLOURS["distilled"])
            axes.set(xlabel="epoch", ylabel=title(name))

        plots.append((draw(paint_validation), f"Validation: {title(name)}, "
                      f"{'lower' if better_sign(name) > 0 else 'higher'} is better"))
    return plots


def add_images(results):
    """Rows of images: input, every generated one, the real photo, and a slider between two of them."""
    names = sorted(set.intersection(*(set(files) for files in results.generated.values())))
    names = names[:: max(1, len(names) // ITEMS)][:ITEMS]
    if not names:
        return
    labels = [label for label in ("original", "student") if label in results.generated]
    labels += [label for label in results.generated if label not in labels]
    h2("Side by side")
    p("The slider shows the first generated image on its left and the next on its right; click an image to enlarge it.")
    for name in names:
        columns = [("input", results.inputs.get(name)), *((label, results.generated[label][name]) for label in labels),
                   ("real", results.real.get(name))]
        columns = {label: embed(path) for label, path in columns if path}
        with div(cls="images"):
            for label, data in columns.items():
                with figure():
                    img(src=data, alt=f"{name}, {label}", loading="lazy")
                    figcaption(f"{label} ({name})" if label == next(iter(columns)) else label)
            pair = [columns[label] for label in labels[:2]] if len(labels) > 1 else \
                [columns[label] for label in (labels[0], "real") if label in columns]
            if len(pair) == 2:
                with figure(cls="compare"):
                    with div(style="position: relative"):
                        img(src=pair[0], alt=f"{name}, left of the slider")
                        img(src=pair[1], alt=f"{name}, right of the slider")
                        input_(type="range", min="0", max="100", value="50", aria_label=f"compare {name}")
                    figcaption(f"{labels[0]} | {labels[1] if len(labels) > 1 else 'real'}")


def embed(path):
    """An image file as a data URI, at most `WIDTH` pixels wide."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        if image.width > WIDTH:
            image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def add_protocol(protocol):
    """The protocol in full."""
    h2("Protocol")
    with div(cls="scroll"):
        with table():
            for key, value in protocol.items():
                with tr():
                    td(key)
                    td("; ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else str(value), cls="text")

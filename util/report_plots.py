"""The plots of the report: quality against MACs, the search, and training. Each is (SVG text, caption)."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from compression.checkpoints.files import MAX_STATE_BYTES, read_json
from compression.checkpoints.records import Count, Length, Limits, read_record
from compression.metrics import better_sign
from compression.runtime.text import printable

from .plots import cost_axis, draw, label_text
from .tables import title
from .validation import read_jsonl

_COLORS = {"original": "#57606a", "after search": "#bf8700", "distilled": "#1f6feb",
           "sub-networks": "#9aa5b1", "paper": "#8250df"}
_OTHER_COLORS = ("#1a7f37", "#cf222e", "#0550ae", "#953800")
_CURVES = 6  # the maximum number of losses in a plot
_METRICS = 20  # the maximum number of plots of the validation
_POINTS = 2000  # about the maximum number of points of a curve

Plot = tuple[str, str]


@dataclass
class Point:
    """A network of a search."""

    macs: Annotated[float, Limits(0, 1e18)]
    score: float
    metrics: Annotated[dict[str, float], Length(100)] = field(default_factory=dict)
    latency_ms: Annotated[float, Limits(0, 1e9)] = 0
    latency: dict = field(default_factory=dict)


@dataclass
class Front:
    """The entries of ``pareto.json`` that are read back."""

    criterion: str
    front: Annotated[list[Point], Length(10_000)]
    images: Count = 0
    latency_front: Annotated[list[Point], Length(10_000)] = field(default_factory=list)
    latency: dict = field(default_factory=dict)


@dataclass
class _Scores:
    scores: list


@dataclass
class _Search:
    evolution: _Scores


@dataclass
class _Searches:
    searches: dict[str, _Search]


def plot_trade_off(metric: str, points: Sequence[tuple[str, float, float, str]]) -> Plot:
    """Plot quality against MACs.

    Args:
        metric: its name.
        points: (label, MACs, value, group); a group has one color.
    """
    def paint(axes) -> None:
        groups: dict[str, list] = {}
        for label, macs, value, group in points:
            groups.setdefault(group, []).append((macs / 1e9, value, label))
        other_colors = iter(_OTHER_COLORS * 4)
        for group, members in groups.items():
            color = _COLORS.get(group) or next(other_colors)
            is_line = group in ("sub-networks", "paper") or len(members) > 2
            members.sort()
            axes.plot([macs for macs, _, _ in members], [value for _, value, _ in members], marker="o",
                      linestyle="-" if is_line else "", color=color, label=label_text(group))
        axes.set(ylabel=label_text(title(metric)))
        cost_axis(axes)
        axes.legend(fontsize=8)

    return draw(paint), f"{title(metric)}: {_better(metric)} is better"


def read_front(search: Path) -> dict[str, Any]:
    """Read ``pareto.json`` of a search; an empty front where there is none."""
    path = search / "pareto.json"
    front = read_json(path) if path.is_file() else {"front": [], "criterion": ""}
    read_record(Front, front, path)
    return front


def plot_search(search: Path) -> list[Plot]:
    """Plot the Pareto fronts of a search, over MACs and over latency; no plot where there is none."""
    pareto = read_front(search)
    criterion = pareto["criterion"]
    if not pareto["front"]:
        return []
    chosen = {}
    for name in ("student", "teacher_wide", "teacher_deep"):
        path = search / f"{name}.json"
        if path.is_file():
            chosen[name] = read_json(path)
            read_record(Point, chosen[name], path)
    caption = (f"{criterion} with the supernet's weights, {_better(criterion)} is better; "
               f"the front{_candidates(search)}")
    macs = {name: (network["macs"] / 1e9, network["score"]) for name, network in chosen.items()}
    front = [(point["macs"] / 1e9, point["score"]) for point in pareto["front"]]
    plots = [(_draw_front(criterion, front, macs, "MACs (G)"), caption)]
    if pareto.get("latency_front"):
        plots.append(_plot_latency(pareto, chosen, caption))
    return plots


def _plot_latency(pareto: dict[str, Any], chosen: dict[str, Any], caption: str) -> Plot:
    """Plot the Pareto front over the latency, with the measured latency of the student."""
    conditions = pareto["latency"]
    where = printable(f"{conditions.get('runtime')}, {conditions.get('threads')} threads, "
                      f"{conditions.get('device')}", 120)
    front = [(point["latency_ms"], point["score"]) for point in pareto["latency_front"]]
    student = chosen.get("student", {})
    measured = student.get("latency", {}).get("measured_ms")
    points = {"student, measured": (measured, student["score"])} if isinstance(measured, float) else {}
    return (_draw_front(pareto["criterion"], front, points, "predicted latency (ms)"),
            f"{caption}; latency of one image ({where})")


def _draw_front(criterion: str, front: list[tuple[float, float]], chosen: dict[str, tuple[float, float]],
                label: str) -> str:
    """Draw a front and chosen networks, (cost, score) each."""
    sign = better_sign(criterion)  # the search negates metrics of which higher is better

    def paint(axes) -> None:
        axes.plot([cost for cost, _ in front], [sign * score for _, score in front], "o--",
                  color=_COLORS["distilled"], markersize=4, label="Pareto front")
        for (name, (cost, score)), marker in zip(chosen.items(), "osD", strict=False):
            axes.plot(cost, sign * score, marker, markersize=9, label=name.replace("_", " "))
        axes.set(ylabel=label_text(criterion))
        cost_axis(axes, label)
        axes.legend(fontsize=8)

    return draw(paint)


def _candidates(search: Path) -> str:
    """State how many candidates a search has scored, if its state is there."""
    path = search / "state.json"
    if not path.is_file():
        return ""
    searches = read_record(_Searches, read_json(path, MAX_STATE_BYTES), path).searches
    return f" of {sum(len(search.evolution.scores) for search in searches.values())} candidates"


def plot_training(run: Path) -> list[Plot]:
    """Plot the losses, the acceptance of fake labels and the validation of a training run over its epochs."""
    plots = []
    rows = read_jsonl(run / "losses.jsonl")
    if rows:
        names = [name for name in rows[-1] if name not in ("epoch", "iters")]
        accepted = [name for name in names if name.endswith("_accepted")]
        losses = [name for name in names if name not in accepted]
        epochs, means = _epoch_means(rows, names)
        plots.append(_plot_losses(epochs, means, losses))
        if accepted:
            plots.append(_plot_acceptance(epochs, means, accepted[:_CURVES]))
    validation = _thinned(read_jsonl(run / "validation.jsonl"))
    if validation:
        metrics = [name for name in validation[0] if name != "epoch"]
        plots += [_plot_validation(validation, name) for name in metrics[:_METRICS]]
    return plots


def _thinned(points: list) -> list:
    """Drop points of a curve that has more than can be told apart, at equal distances."""
    return points[::len(points) // _POINTS + 1]


def _epoch_means(rows: list[dict], names: list[str]) -> tuple[list[int], dict[str, list[float]]]:
    """Average the logged values of each epoch; NaN where an epoch has none."""
    per_epoch: dict[int, list[dict]] = {}
    for row in rows:
        per_epoch.setdefault(row["epoch"], []).append(row)
    epochs = _thinned(sorted(per_epoch))
    means: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        for epoch in epochs:
            values = [row[name] for row in per_epoch[epoch] if name in row]
            means[name].append(sum(values) / len(values) if values else float("nan"))
    return epochs, means


def _plot_losses(epochs: list[int], means: dict[str, list[float]], names: list[str]) -> Plot:
    """Plot the largest losses of the last epoch; more curves could not be told apart."""
    shown = sorted(names, key=lambda name: -abs(means[name][-1]) if means[name][-1] == means[name][-1] else 0)
    shown = [name for name in names if name in shown[:_CURVES]]

    def paint(axes) -> None:
        for name in shown:
            axes.plot(epochs, means[name], marker=".", label=label_text(name))
        axes.set(xlabel="epoch", ylabel="loss", yscale="log")
        axes.figure.legend(fontsize=8, ncols=2, loc="outside lower center", frameon=False)

    others = len(names) - len(shown)
    rest = f"; the {others} smaller ones are in losses.jsonl" if others > 0 else ""
    return draw(paint), f"Losses, weighted, mean of what was logged in an epoch{rest}"


def _plot_acceptance(epochs: list[int], means: dict[str, list[float]], names: list[str]) -> Plot:
    def paint(axes) -> None:
        for name in names:
            axes.plot(epochs, means[name], marker=".",
                      label=label_text(f"{name.removesuffix('_accepted')} teacher"))
        axes.set(xlabel="epoch", ylabel="accepted", ylim=(0, 1.02))
        axes.legend(fontsize=8)

    return draw(paint), "Share of fake labels that the Adaptive Data Filter accepts"


def _plot_validation(rows: list[dict], metric: str) -> Plot:
    def paint(axes) -> None:
        axes.plot([row["epoch"] for row in rows], [row.get(metric, math.nan) for row in rows], marker="o",
                  color=_COLORS["distilled"])
        axes.set(xlabel="epoch", ylabel=label_text(title(metric)))

    return draw(paint), f"Validation: {title(metric)}, {_better(metric)} is better"


def _better(metric: str) -> str:
    return "lower" if better_sign(metric) > 0 else "higher"

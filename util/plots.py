"""Plots shared by the search and the report."""
from __future__ import annotations

import io
import os
from collections.abc import Callable

from compression import Arch, atomic_file
from compression.metrics import better_sign
from compression.runtime.text import printable
from compression.search.sampling import Measure


def can_plot() -> bool:
    """Return whether matplotlib is installed; upstream does not require it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def draw(paint: Callable) -> str:
    """Draw a matplotlib plot and return it as SVG text; `paint` is called with the axes."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "report"  # the same data always give the same SVG
    figure, axes = pyplot.subplots(figsize=(5, 3.4), constrained_layout=True)
    paint(axes)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return text.getvalue()


def label_text(text: str) -> str:
    """Return a name from a file as a label of matplotlib, which reads text between dollar signs as TeX."""
    return printable(text, 60).replace("$", r"\$")


def cost_axis(axes, label: str = "MACs (G)") -> None:
    """Label the x axis of a finished plot, on a logarithmic scale with few plain numbers."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    axes.set(xlabel=label, xscale="log")
    low, high = axes.get_xlim()
    log_locator = LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,))
    axes.xaxis.set_major_locator(MaxNLocator(5) if high < 5 * low else log_locator)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")


def plot_fronts(path: str | os.PathLike, criterion: str, measures: dict[str, Measure],
                scores: dict[Arch, float], fronts: dict[str, list[Arch]],
                chosen: dict[str, tuple[Arch, float]]) -> None:
    """Plot the scores of a search against MACs, and against the latency if there is one, as a PNG file.

    Args:
        path: the file to write.
        criterion: what the scores measure.
        measures: ``front`` computes MACs, ``latency_front`` predicts milliseconds; the latter is optional.
        scores: every candidate's score, lower is better.
        fronts: the Pareto front of each measure.
        chosen: name -> (architecture, score) of the student and the teachers.
    """
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    archs = [arch for arch, score in scores.items() if score != float("inf")]
    sign = better_sign(criterion)  # the search negates metrics of which higher is better
    figure, plots = pyplot.subplots(1, len(measures), figsize=(7 * len(measures), 4.5), squeeze=False,
                                    constrained_layout=True)
    for axes, (name, measure) in zip(plots[0], measures.items(), strict=True):
        unit, label = (1e9, "MACs (G)") if name == "front" else (1, "predicted latency (ms)")
        axes.scatter(measure(archs) / unit, [sign * scores[arch] for arch in archs], s=10, color="#9aa5b1",
                     label="candidates")
        axes.plot(measure(fronts[name]) / unit, [sign * scores[arch] for arch in fronts[name]], "o--",
                  markersize=3, color="#1f6feb", label="Pareto front")
        for (network, (arch, score)), marker in zip(chosen.items(), "osD", strict=True):
            axes.plot(measure([arch])[0] / unit, sign * score, marker, markersize=9,
                      label=network.replace("_", " "))
        axes.set(ylabel=f"{criterion} ({'lower' if sign > 0 else 'higher'} is better)")
        cost_axis(axes, label)
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_file(path) as file:
        figure.savefig(file, dpi=120, format="png")
    pyplot.close(figure)

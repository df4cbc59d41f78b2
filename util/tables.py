"""Tables of the cost and the quality of networks."""
from __future__ import annotations

from collections.abc import Sequence

from compression.runtime.text import giga, printable

_TITLES = {"PSNR": "PSNR (dB)", "mIoU": "mIoU (%)", "pixel_accuracy": "pixel acc. (%)"}
_TWO_DECIMALS = ("PSNR", "mIoU", "pixel_accuracy", "FID")


def results_table(costs: dict, scores: dict, images: dict) -> tuple[list[str], list[list[str]]]:
    """Tabulate cost and quality as text.

    Args:
        costs: network -> ``macs``, ``macs_exact``, ``params`` and ``latency_ms``.
        scores: network -> metric -> value. If there is only one network, its scores may have any name.
        images: network -> number of its images, by the names of the `scores`.

    Returns:
        The header, and the rows of cells.
    """
    metrics = list(dict.fromkeys(metric for values in scores.values() for metric in values))
    metrics = metrics or ["L1", "PSNR", "SSIM"]
    header = ["network", "images", "MACs (G)", "exact (G)", "params (M)", "latency (ms)",
              *map(title, metrics)]
    is_single = len(costs) == 1
    table = []
    for network in costs if is_single else dict.fromkeys((*costs, *scores)):
        label = next(iter(scores), network) if is_single and network not in scores else network
        score_cells = [number(metric, scores.get(label, {}).get(metric)) for metric in metrics]
        table.append([network, str(images.get(label, "-")), *_cost_cells(costs.get(network)), *score_cells])
    return header, table


def _cost_cells(cost: dict | None) -> list[str]:
    if cost is None:
        return ["-"] * 4
    return [giga(cost["macs"]), giga(cost["macs_exact"]), f"{cost['params'] / 1e6:.3f}",
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
    widths = [max(len(printable(row[i])) for row in (header, *table)) for i in range(len(header))]
    for row in (header, *table):
        print("  ".join(f"{printable(cell):>{width}}" for cell, width in zip(row, widths, strict=True)))

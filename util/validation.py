"""Validation during training: compute metrics every few epochs, log them, and keep the best networks."""
from __future__ import annotations

import json
import os
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from compression.checkpoints.files import count_parts, parse_json, read_text, write_text
from compression.checkpoints.records import Length, read_record
from compression.metrics import SetMetrics, better_sign
from compression.runtime import distributed
from data.held_out import held_out, require_images
from models.builders import build_metric_networks, canonical_metrics
from options.search_split import SEARCH_SPLIT

from .entry import kept_rng
from .label_maps import LabelMaps
from .run_folder import folder_of
from .size_check import require_ssim

MAX_LOG_BYTES = 2 ** 28
MAX_LOG_PARTS = 2 ** 20  # objects and names that are read of a log: 50,000 lines of 20 losses


@dataclass
class Rows:
    """The rows of a log: name -> value."""

    rows: list[Annotated[dict[str, float], Length(200)]]


class Validation:
    """Compute ``--eval_metrics`` on the validation split every ``--eval_every`` epochs.

    The values are written to ``validation.jsonl``. The networks that are best by the first metric are kept as
    ``best_net_*.pth`` (``--epoch best``). The random generators of training are not touched.

    Args:
        opt: parsed options of train.py.
        model: the model that is trained.

    Attributes:
        rows: one dictionary of values for each epoch that was validated.

    Raises:
        ValueError: if a metric is unknown, or a network or the labels that it needs are missing.
    """

    def __init__(self, opt: Namespace, model):
        self.opt = opt
        self.model = model
        self.rows: list[dict[str, float]] = []
        self.path = folder_of(opt) / "validation.jsonl"
        if opt.eval_every < 1:
            return
        self.metrics = canonical_metrics(opt.eval_metrics, "--eval_metrics")
        with kept_rng():
            self.networks = build_metric_networks(opt, model.device)
            self.batches = self._images()
            if "SSIM" in self.metrics and opt.model != "segmenter":  # which has its own metrics
                require_ssim(self.batches.dataset.item_sizes, f"--eval_metrics {' '.join(self.metrics)}",
                             f"images of --eval_phase {opt.eval_phase}", " or other metrics")
            needs_labels = self._new_metrics().segmentation  # raises before training if something is missing
            self.labels = self._labels() if needs_labels else None

    def _images(self):
        """Load the images on which networks are compared; ValueError if there are too few."""
        opt = self.opt
        images = held_out(opt, opt.eval_phase, opt.eval_images)
        needed = 2 if {"FID", "KID"} & set(self.metrics) else 1
        require_images(opt, images, needed, f"--eval_metrics {' '.join(self.metrics)}", "eval_phase",
                       "eval_images")
        if opt.eval_phase != SEARCH_SPLIT and opt.model != "segmenter":
            print(f"note: best_net_*.pth are selected on images of {opt.eval_phase}: report the numbers of "
                  "other images")
        return images

    def _labels(self) -> LabelMaps:
        """Find the label maps of the images; without ``--labels`` their batches hold them."""
        images = self.batches
        if not self.opt.labels:
            return LabelMaps(self.opt, self.networks.segmentation)
        names = images.dataset.item_names()
        return LabelMaps(self.opt, self.networks.segmentation, images.dataset,
                         [names[i] for i in images.indices])

    def _new_metrics(self) -> SetMetrics:
        """Create metrics that have not seen any image."""
        return SetMetrics(self.metrics, self.networks)

    def due(self, epoch: int) -> bool:
        """Return whether the networks are validated after this epoch."""
        if self.opt.eval_every < 1:
            return False
        return epoch % self.opt.eval_every == 0 or epoch == self.opt.n_epochs + self.opt.n_epochs_decay

    def run(self, epoch: int) -> dict[str, float]:
        """Validate, log the values, and keep the networks if they are the best so far.

        Returns:
            Values by name of the metric. The model's `metric` becomes the decisive one.
        """
        metrics = self._new_metrics()
        with kept_rng():
            values = distributed.on_rank_zero(lambda: self.model.validate(self.batches, metrics, self.labels))
        decisive = metrics.key(self.model.decisive_metric())
        sign = better_sign(decisive)
        best = all(sign * values[decisive] < sign * row[decisive] for row in self.rows if decisive in row)
        self.rows.append({"epoch": epoch, **values})
        with kept_rng():
            distributed.on_rank_zero(lambda: self.write(best))
        values_text = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        print(f"validation, epoch {epoch}: {values_text}" + (f"  (best {decisive})" if best else ""))
        self.model.metric = values[decisive]
        return values

    def write(self, best: bool = False) -> None:
        """Write ``validation.jsonl``, one object for each epoch, and the networks if they are the best."""
        if self.rows or self.path.is_file():
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))
        if best:
            self.model.save_networks("best")


def read_jsonl(path: str | os.PathLike) -> list[dict]:
    """Read the objects of a file of JSON lines; an empty list if there is no file.

    Of a file with more than ``MAX_LOG_PARTS``, only every second, third, ... line is read, and the last one.
    """
    path = Path(path)
    if not path.is_file():
        return []
    text = read_text(path, MAX_LOG_BYTES)
    step = count_parts(text) // MAX_LOG_PARTS + 1
    lines = text.splitlines()[::-step]
    rows = parse_json(f"[{','.join(reversed(lines))}]", path)
    read_record(Rows, {"rows": rows}, path)
    if not all("epoch" in row for row in rows):
        raise ValueError(f"{path}: a line has no 'epoch'; the file is damaged or was edited")
    return rows

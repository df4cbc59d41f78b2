"""Scoring generated images: label maps, and validation during training."""
import json
from functools import partial
from pathlib import Path

import numpy as np

from compression.runtime import distributed
from compression.checkpoints.files import write_text
from compression.metrics import SetMetrics, better_sign
from compression.metrics.segmentation import VOID
from data.held_out import held_out
from data.image_folder import make_dataset
from data.label_dataset import read_ids, stem
from models.builders import build_metric_networks, canonical_metrics

from .entry import kept_rng
from .run_folder import folder_of


class LabelMaps:
    """Class ids of images by name, 255 for void: from ``--labels``, from the data set, or from a batch of it.

    Args:
        opt: parsed options.
        network: the SegmentationNetwork they are for.
        dataset: the data set of the images, asked for its labels at their own resolution if there are no ``--labels``.

    Raises:
        ValueError: if there are no label maps.
    """

    def __init__(self, opt, network, dataset=None):
        self.opt, self.network, self.read = opt, network, None
        if opt.labels:
            files = {stem(path): path for path in make_dataset(opt.labels, flag="--labels")}
            self.read = {name: partial(read_ids, path) for name, path in files.items()}
        elif hasattr(dataset, "label_ids"):
            self.read = {stem(dataset.name(i)): partial(dataset.label_ids, i) for i in range(len(dataset))}
        elif not getattr(opt, "label_nc", 0):
            raise ValueError("the inputs are no label maps; give --labels, a folder of label maps named like the images")

    def __call__(self, batch, side):
        """Class ids (N, H, W) of a batch whose input is `side`."""
        if self.read is None:
            return np.stack([self.classes(ids[0].numpy()) for ids in batch[side]])
        return np.stack([self.of(path) for path in batch[f"{side}_paths"]])

    def of(self, name):
        """Class ids (H, W) of the image of that name or path.

        Raises:
            ValueError: if there is no label map, or it holds an id that is no class.
        """
        if stem(name) not in self.read:
            raise ValueError(f"--labels: no label map is named like {Path(name).name}")
        try:
            return self.classes(np.asarray(self.read[stem(name)]()))
        except ValueError as error:
            raise ValueError(f"label map of {stem(name)}: {error}") from None

    def without(self, names):
        """Those of the names that have no label map."""
        return [name for name in names if stem(name) not in self.read]

    def classes(self, ids):
        """Label ids -> class ids; the data set's class for unknown becomes void."""
        if getattr(self.opt, "contain_dontcare_label", False) and not self.opt.labels:
            ids = np.where(ids == self.opt.label_nc, VOID, ids)
        return self.network.targets(ids)


class Validation:
    """``--eval_every``: metrics of the validation split every so many epochs (`rows`), and the best networks.

    Values go to ``validation.jsonl``; the networks that are best by the first of ``--eval_metrics`` are kept as
    ``best_net_*.pth`` (``--epoch best``). Training's random choices are untouched.
    """

    def __init__(self, opt, model):
        self.opt, self.model, self.rows = opt, model, []
        self.path = folder_of(opt) / "validation.jsonl"
        if opt.eval_every < 1:
            return
        self.metrics = canonical_metrics(opt.eval_metrics, "--eval_metrics")
        with kept_rng():
            self.networks = build_metric_networks(opt, model.device)
            self.batches = held_out(opt, opt.eval_phase, opt.eval_images)
            fresh = self.fresh()  # what is missing is told before training
            self.labels = LabelMaps(opt, self.networks.segmentation) if fresh.segmentation else None

    def fresh(self):
        """Metrics that have seen no image."""
        return SetMetrics(self.metrics, self.networks)

    def due(self, epoch):
        """Whether this epoch is validated."""
        return self.opt.eval_every > 0 and (epoch % self.opt.eval_every == 0 or
                                            epoch == self.opt.n_epochs + self.opt.n_epochs_decay)

    def run(self, epoch):
        """Validate, log, and keep the networks if they are the best so far."""
        metrics = self.fresh()
        with kept_rng():
            values = distributed.on_rank_zero(lambda: self.model.validate(self.batches, metrics, self.labels))
        decisive = metrics.key(self.metrics[0])
        decisive = decisive if decisive in values else next(iter(values))
        sign = better_sign(decisive)
        best = all(sign * values[decisive] < sign * row[decisive] for row in self.rows if decisive in row)
        self.rows.append({"epoch": epoch, **values})
        with kept_rng():
            distributed.on_rank_zero(lambda: self.write(best))
        print(f"validation, epoch {epoch}: " + "  ".join(f"{name} {value:.4f}" for name, value in values.items())
              + (f"  (best {decisive})" if best else ""))

    def write(self, best=False):
        """``validation.jsonl``, one object an epoch, and the networks if they are the best."""
        if self.rows or self.path.is_file():
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))
        if best:
            self.model.save_networks("best")


def read_jsonl(path):
    """The objects of a file of JSON lines; none if there is no file."""
    path = Path(path)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []

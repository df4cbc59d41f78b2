"""The images of a search: those that candidates are scored on, and those that calibrate their batch norms."""
from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from compression.metrics import MetricNetworks
from compression.metrics.image import SSIM_SIDE
from compression.runtime.images import pad
from compression.search.scoring import AGREEMENT
from data.held_out import HeldOut, held_out, require_images, training_inputs, usual_size
from models.builders import canonical_metrics
from options.search_split import SEARCH_SPLIT
from options.ugc_options import sides

from .size_check import require_calibration_sizes, require_scored_sizes

# images whose batch-norm statistics are computed together, because innermost maps have few pixels
CALIBRATION_BATCH = 16
_CPU_PIXELS = 2 ** 16  # of the images that are translated at once
_GPU_PIXELS = 2 ** 20


class SearchImages:
    """Up to ``--search_images`` of ``--phase``, and ``--calibration_images`` of the training inputs.

    Of the images that ``--search_split`` holds out of training, the criterion ``agreement`` uses all inputs,
    and metrics those with a label.

    Args:
        opt: parsed options of search.py, with the usual spelling of ``--criterion``.
        model: the supernet's model, set up.

    Attributes:
        pairs: batches of (inputs, ground truths), (N, C, H, W) in [-1, 1].
        inputs: batches of inputs for ``agreement``.

    Raises:
        ValueError: if there are too few images for the criterion or ``--front_metrics``.
    """

    def __init__(self, opt: Namespace, model):
        self.opt = opt
        self.model = model
        self.input_side, self.target_side = sides(opt)
        self.with_targets = held_out(opt, opt.phase, opt.search_images)
        self.with_targets.batch_size = self.batch_size()
        self.requested = opt.front_metrics and canonical_metrics(opt.front_metrics, "--front_metrics")
        self._require_enough(self.requested or (), "--front_metrics")
        self.pairs = [(self._encoded(batch), model.to_device(batch[self.target_side]))
                      for batch in self.with_targets]
        self.inputs = [x for x, _ in self.pairs]
        if opt.criterion != AGREEMENT:
            self._require_enough([opt.criterion], "--criterion")
        elif opt.phase == SEARCH_SPLIT:
            images = held_out(opt, opt.phase, opt.search_images, inputs_only=True)
            require_images(opt, images, 1, f"--criterion {AGREEMENT}", "phase", "search_images")
            images.batch_size = self.with_targets.batch_size
            self.inputs = [self._encoded(batch) for batch in images]

    def _require_enough(self, metrics: Sequence[str], flag: str) -> None:
        """Check that there are enough pairs for the metrics of a flag."""
        if metrics:
            needed = 2 if {"FID", "KID"} & set(metrics) else 1
            require_images(self.opt, self.with_targets, needed, f"{flag} {' '.join(metrics)}", "phase",
                           "search_images")

    def _encoded(self, batch: dict) -> Tensor:
        return self.model.encoding(self.model.to_device(batch[self.input_side]))

    def batch_size(self) -> int:
        """Choose the number of images that a candidate translates at once.

        On a CPU their activations should stay in its cache, and small images gain from a batch.
        """
        height, width = usual_size(self.with_targets.dataset)
        pixels = _GPU_PIXELS if self.model.device.type == "cuda" else _CPU_PIXELS
        return max(1, pixels // (height * width))

    def describe(self) -> str:
        """Describe for the user which images candidates are scored on."""
        count = sum(len(x) for x in self.inputs)
        if self.opt.phase == SEARCH_SPLIT:
            return f"candidates are scored on {count} images that --search_split has held out of training"
        return (f"candidates are scored on {count} images of {self.opt.phase}: report the numbers of other "
                "images")

    @property
    def size(self) -> tuple[int, int]:
        """The most frequent (height, width) of the inputs, or of the training set that they are from."""
        if self.opt.phase == SEARCH_SPLIT:
            return usual_size(self.with_targets.dataset)
        sizes: Counter[tuple[int, int]] = Counter()
        for inputs in self.inputs:
            height, width = inputs.shape[2:]
            sizes[height, width] += len(inputs)
        (size, _), *_ = sizes.most_common(1)
        return size

    def classes(self, networks: MetricNetworks) -> list[list[np.ndarray]]:
        """Load the class ids of the pairs."""
        from .label_maps import LabelMaps  # not in an upstream checkout

        dataset = self.with_targets.dataset
        names = dataset.item_names()
        scored = [names[i] for i in self.with_targets.indices]
        labels = LabelMaps(self.opt, networks.of("mIoU"), dataset, scored)
        return [labels(batch, self.input_side) for batch in self.with_targets]

    def front_metrics(self, networks: MetricNetworks) -> list[str]:
        """Choose the metrics of the Pareto front: ``--front_metrics``, or all that can be computed."""
        opt = self.opt
        if self.requested:
            return self.requested
        if not self.pairs:
            return []
        metrics = networks.available()
        has_labels = opt.labels or getattr(opt, "label_nc", 0) or opt.base_dataset_mode == "toy"
        if "mIoU" in metrics and not has_labels:
            metrics.remove("mIoU")
        too_few = ("FID", "KID") if len(self.with_targets) < 2 else ()
        too_small = ("SSIM",) if any(min(x.shape[2:]) < SSIM_SIDE for x, _ in self.pairs) else ()
        return [name for name in metrics if name not in (*too_few, *too_small)]

    def check_sizes(self, front_metrics: Sequence[str]) -> None:
        """Check that the metrics take images of these sizes."""
        require_scored_sizes(self.opt, self.pairs, front_metrics)

    def calibration(self, supernet) -> list[Tensor]:
        """Load the training inputs that batch-norm statistics are computed on; none for other norms.

        Raises:
            ValueError: if they are too small or too few.
        """
        if supernet.config["norm"] not in ("batch", "syncbatch"):
            return []
        batches: HeldOut = training_inputs(self.opt, self.opt.calibration_images, CALIBRATION_BATCH)
        padded = [pad(supernet, self._encoded(batch)) for batch in batches]
        require_calibration_sizes(supernet, padded)
        return padded

"""How good a sub-network is before it is trained further: one number from the supernet's weights, lower is better."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..elastic.arch import Arch
from ..elastic.extraction import calibrate, extract
from ..metrics import METRICS, MetricNetworks, SetMetrics, better_sign
from ..runtime.modes import eval_mode

AGREEMENT = "agreement"
CRITERIA = (AGREEMENT, *METRICS)


class Scorer:
    """Scores architectures on fixed images with supernet weights.

    A candidate is extracted and its batch-norm statistics are re-estimated before it is judged; the largest network's
    images are made once.

    Args:
        supernet: the trained supernet, on its device.
        pairs: batches of (input, ground truth) to score on.
        calibration: batches of inputs for the batch-norm statistics.
        criterion: ``agreement``, the L1 distance to the largest network's images, which looks at no ground truth; or a
            metric, turned so that lower is better.
        autocast: makes the context manager under which networks run.
        networks: what the metrics need.
        classes: class ids of each batch, for mIoU.

    Raises:
        ValueError: if the criterion is unknown or its network or labels are missing, or there are no images.
    """

    def __init__(self, supernet, pairs: Sequence[tuple[Tensor, Tensor]], calibration: Sequence[Tensor],
                 criterion: str, autocast: Callable, networks: MetricNetworks | None = None,
                 classes: Sequence[np.ndarray] | None = None):
        if criterion not in CRITERIA:
            raise ValueError(f"--criterion {criterion} is unknown, known: {', '.join(CRITERIA)}")
        if not pairs:
            raise ValueError("there are no images to score on")
        self.supernet, self.pairs, self.calibration = supernet, list(pairs), list(calibration)
        self.criterion, self.autocast, self.networks = criterion, autocast, networks or MetricNetworks()
        self.classes = classes or [None] * len(self.pairs)
        self.reference = None
        if criterion == AGREEMENT:
            with eval_mode(supernet), torch.no_grad(), autocast():
                self.largest = [supernet(x).float() for x, _ in self.pairs]
            return
        self.key = SetMetrics([criterion], self.networks).key(criterion)

    def __call__(self, arch: Arch) -> float:
        """The score of `arch`; lower is better."""
        if self.criterion == AGREEMENT:
            distances = [(image - largest).abs().mean((1, 2, 3))
                         for image, largest in zip(self.images(self.candidate(arch)), self.largest)]
            return float(torch.cat(distances).mean())
        return better_sign(self.criterion) * self.measure(arch, [self.criterion])[self.key]

    def measure(self, arch: Arch, metrics: Sequence[str]) -> dict[str, float]:
        """Metrics of `arch` by name."""
        if self.reference is None and {"FID", "KID"} & set(metrics):
            photos = SetMetrics(["FID"], self.networks)
            for _, target in self.pairs:
                photos.update(target)
            self.reference = np.concatenate(photos.features)
        found = SetMetrics(metrics, self.networks, self.reference)
        for image, (_, target), classes in zip(self.images(self.candidate(arch)), self.pairs, self.classes):
            found.update(image, target, classes)
        return found.compute()

    @torch.no_grad()
    def images(self, net):
        """What a network makes of every batch, one at a time."""
        with eval_mode(net), self.autocast():
            for x, _ in self.pairs:
                yield net(x).float()

    def candidate(self, arch: Arch):
        """The extracted and calibrated network of `arch`."""
        with self.autocast():
            return calibrate(extract(self.supernet, arch), self.calibration)

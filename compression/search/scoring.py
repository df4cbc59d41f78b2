"""Scores of sub-networks, computed with the weights of the supernet."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from ..elastic.arch import Arch
from ..elastic.extraction import calibrate, extract
from ..elastic.generator import ElasticGenerator
from ..metrics import METRICS, MetricNetworks, SetMetrics, better_sign
from ..runtime.images import run_padded
from ..runtime.lab import displayed
from ..runtime.modes import eval_mode
from ..runtime.text import unknown

AGREEMENT = "agreement"
CRITERIA = (AGREEMENT, *METRICS)


class Scorer:
    """Computes the score s(a) of architectures on a fixed set of images; lower is better.

    The criterion ``agreement`` is the L1 distance between the images of the sub-network and of the largest
    network G_l, averaged over the inputs x:

        s(a) = mean_x |G_a(x) - G_l(x)|

    The other criteria are metrics against ground truths; a metric that is better when higher is negated. Each
    network, also G_l, is extracted and calibrated first.

    Args:
        supernet: trained supernet, on its device.
        pairs: batches of (inputs, ground truths), (N, C, H, W) in [-1, 1].
        calibration: batches of inputs that re-estimate the batch-norm statistics.
        criterion: ``agreement`` or the name of a metric.
        autocast: creates the context manager (such as autocast) in which networks run.
        networks: networks that the metrics need.
        classes: class ids (H', W') of each image of each batch, for mIoU.
        inputs: batches of inputs (N, C, H, W) for ``agreement``; None for those of `pairs`.

    Raises:
        ValueError: if the criterion is unknown, its network or labels are missing, or there are no images.
    """

    def __init__(self, supernet: ElasticGenerator, pairs: Sequence[tuple[Tensor, Tensor]],
                 calibration: Sequence[Tensor], criterion: str,
                 autocast: Callable[[], AbstractContextManager], networks: MetricNetworks | None = None,
                 classes: Sequence[Sequence[np.ndarray]] | None = None,
                 inputs: Sequence[Tensor] | None = None):
        if criterion not in CRITERIA:
            raise ValueError(unknown(f"--criterion {criterion}", criterion, CRITERIA))
        self.inputs = [x for x, _ in pairs] if inputs is None else list(inputs)
        if not (self.inputs if criterion == AGREEMENT else pairs):
            raise ValueError("there are no images to score on")
        self.supernet = supernet
        self.pairs = [(x, displayed(x, target)) for x, target in pairs]
        self.calibration = list(calibration)
        self.criterion = criterion
        self.autocast = autocast
        self.networks = networks or MetricNetworks()
        self.classes: list[Sequence[np.ndarray] | None] = [None] * len(self.pairs)
        if classes:
            self.classes = list(classes)
        self.reference: np.ndarray | None = None  # features of the ground truths, for FID and KID
        if criterion == AGREEMENT:
            self.largest = list(self.images(self.candidate(supernet.full), self.inputs))
        else:
            self.key = SetMetrics([criterion], self.networks).key(criterion)

    def __call__(self, arch: Arch) -> float:
        """Compute the score of `arch` with the weights of the supernet."""
        return self.score(self.candidate(arch))

    def score(self, net: ElasticGenerator) -> float:
        """Compute the score of a network, which is calibrated already."""
        if self.criterion != AGREEMENT:
            return better_sign(self.criterion) * self._measure(net, [self.criterion])[self.key]
        distances = []
        images = self.images(net, self.inputs)
        for image, largest in zip(images, self.largest, strict=True):
            distances.append((image - largest).abs().mean((1, 2, 3)))
        return float(torch.cat(distances).mean())

    def measure(self, arch: Arch, metrics: Sequence[str]) -> dict[str, float]:
        """Compute metrics of `arch`, by name."""
        return self._measure(self.candidate(arch), metrics)

    def _measure(self, net: ElasticGenerator, metrics: Sequence[str]) -> dict[str, float]:
        """Compute metrics of a network, by name."""
        if self.reference is None and {"FID", "KID"} & set(metrics):
            targets = SetMetrics(["FID"], self.networks)
            for _, target in self.pairs:
                targets.update(target)
            self.reference = np.concatenate(targets.features)
        set_metrics = SetMetrics(metrics, self.networks, self.reference)
        images = self.images(net, [x for x, _ in self.pairs])
        for image, (_, target), classes in zip(images, self.pairs, self.classes, strict=True):
            set_metrics.update(image, target, classes)
        return set_metrics.compute()

    @torch.no_grad()
    def images(self, net: ElasticGenerator, inputs: Sequence[Tensor]) -> Iterator[Tensor]:
        """Compute a network's images (N, C, H, W) for each batch of inputs."""
        with eval_mode(net), self.autocast():
            for x in inputs:
                yield displayed(x, run_padded(net, x).float())

    def candidate(self, arch: Arch) -> ElasticGenerator:
        """Extract and calibrate the sub-network `arch`."""
        with self.autocast():
            net = extract(self.supernet, arch)
            calibrate(net, self.calibration)
        return net

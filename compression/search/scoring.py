"""Scores of sub-networks, computed with the weights of the supernet."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

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
_MOST_PIXELS = 2 ** 21  # of a batch of a few images
Item = tuple[int, int]  # batch, and row in it


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
        largest: the images of the largest network for these inputs; None computes them.

    Inputs, targets, the images of the largest network, and the features of the targets are computed once and
    shared by all candidates.

    Raises:
        ValueError: if the criterion is unknown, its network or labels are missing, or there are no images.
    """

    def __init__(self, supernet: ElasticGenerator, pairs: Sequence[tuple[Tensor, Tensor]],
                 calibration: Sequence[Tensor], criterion: str,
                 autocast: Callable[[], AbstractContextManager], networks: MetricNetworks | None = None,
                 classes: Sequence[Sequence[np.ndarray]] | None = None,
                 inputs: Sequence[Tensor] | None = None, largest: Sequence[Tensor] | None = None):
        if criterion not in CRITERIA:
            raise ValueError(unknown(f"--criterion {criterion}", criterion, CRITERIA))
        self.inputs = [x for x, _ in pairs] if inputs is None else list(inputs)
        if not (self.inputs if criterion == AGREEMENT else pairs):
            raise ValueError("there are no images to score on")
        self.supernet = supernet
        self.pairs = [(x, displayed(x, target)) for x, target in pairs]
        self.calibration = list(calibration)
        self.batch_statistics = False  # whether batch norms use the statistics of the images
        self.criterion = criterion
        self.autocast = autocast
        self.networks = networks or MetricNetworks()
        self.classes: list[Sequence[np.ndarray] | None] = [None] * len(self.pairs)
        if classes:
            self.classes = list(classes)
        self.reference: np.ndarray | None = None  # features of the ground truths, for FID and KID
        if criterion == AGREEMENT:
            if largest is None:
                largest = list(self.images(self.candidate(supernet.full), self.inputs))
            self.largest = list(largest)
        else:
            self.key = SetMetrics([criterion], self.networks).key(criterion)

    def __call__(self, arch: Arch) -> float:
        """Compute the score of `arch` with the weights of the supernet."""
        return self.score(self.candidate(arch))

    def subset(self, images: int, seed: int) -> Scorer:
        """Build a scorer on a random subset of the images, spread over all of them.

        Its candidates are not calibrated: batch norms use the statistics of the images that they are scored
        on. With few images, this ranks candidates better than scores of the same cost with calibration.

        Args:
            images: number of images.
            seed: of the choice.

        Raises:
            ValueError: if batch norms have no batch, because no two of the images have the same size.
        """
        rng = np.random.default_rng(seed)
        inputs = self.inputs if self.criterion == AGREEMENT else [x for x, _ in self.pairs]
        groups = _spread(inputs, images, rng)
        if has_batch_norm(self.supernet):
            groups = [group for group in groups if len(group) > 1]
            if not groups:
                raise ValueError("--halving_images needs images of equal size for the batch norms of the "
                                 "network; use --halving_images 0")
        joined = [_join(inputs, group) for group in groups]
        if self.criterion == AGREEMENT:
            subset = Scorer(self.supernet, [], [], self.criterion, self.autocast, self.networks,
                            inputs=joined, largest=[_join(self.largest, group) for group in groups])
        else:
            targets = [target for _, target in self.pairs]
            pairs = [(x, _join(targets, group)) for x, group in zip(joined, groups, strict=True)]
            classes = None
            if self.classes[0] is not None:
                classes = [[self._classes_of(item) for item in group] for group in groups]
            subset = Scorer(self.supernet, pairs, [], self.criterion, self.autocast, self.networks, classes)
        subset.batch_statistics = True
        return subset

    def _classes_of(self, item: Item) -> np.ndarray:
        batch, row = item
        classes = self.classes[batch]
        assert classes is not None
        return classes[row]

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
        with eval_mode(net):
            if self.batch_statistics:
                for norm in _batch_norms(net):
                    norm.train()
            for x in inputs:
                with self.autocast():  # of the network; metrics stay in fp32
                    image = run_padded(net, x).float()
                yield displayed(x, image)

    def candidate(self, arch: Arch) -> ElasticGenerator:
        """Extract and calibrate the sub-network `arch`."""
        with self.autocast():
            net = extract(self.supernet, arch)
            if not self.batch_statistics:
                calibrate(net, self.calibration)
        return net


def _batch_norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def has_batch_norm(net: nn.Module) -> bool:
    """Return whether a network has batch norms."""
    return bool(_batch_norms(net))


def _spread(batches: Sequence[Tensor], count: int, rng: np.random.Generator) -> list[list[Item]]:
    """Choose `count` items of all batches, a random one of each of `count` equal parts.

    Returns:
        The items, grouped into batches of items of equal shape and at most `_MOST_PIXELS` pixels.
    """
    items = [(i, row) for i, batch in enumerate(batches) for row in range(len(batch))]
    count = min(count, len(items))
    by_shape: dict[torch.Size, list[Item]] = {}
    for part in range(count):
        item = items[int(rng.integers(part * len(items) // count, (part + 1) * len(items) // count))]
        by_shape.setdefault(batches[item[0]].shape[1:], []).append(item)
    groups = []
    for shape, members in by_shape.items():
        parts = -(-len(members) * shape[1] * shape[2] // _MOST_PIXELS)
        parts = max(1, min(parts, len(members) // 2))
        groups += [members[part::parts] for part in range(parts)]
    return groups


def _join(batches: Sequence[Tensor], group: Sequence[Item]) -> Tensor:
    """Return the items of a group as one batch."""
    return torch.cat([batches[i][row:row + 1] for i, row in group])

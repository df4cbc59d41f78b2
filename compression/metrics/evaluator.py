"""All measures of a set of generated images, and why one could not be computed."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .distances import frechet_distance, kernel_distance
from .features import FeatureNetwork
from .image import ImageMetrics, eight_bits
from .perceptual_distance import PerceptualDistance
from .segmentation import VOID, SegmentationScores, train_ids

METRICS = ("L1", "PSNR", "SSIM", "LPIPS", "FID", "KID", "mIoU")
PAIRED = ("L1", "PSNR", "SSIM", "LPIPS")
HIGHER_IS_BETTER = ("PSNR", "SSIM", "mIoU", "pixel_accuracy")


def better_sign(metric: str) -> int:
    """1 if lower values of the metric are better, -1 if higher ones are."""
    return -1 if metric in HIGHER_IS_BETTER else 1


@dataclass(frozen=True)
class SegmentationNetwork:
    """A frozen network that finds classes in photos.

    Attributes:
        name: such as ``drn-d-105`` or ``segmenter-1a2b3c4d``.
        checksum: SHA-256 of its file.
        network: photos (N, 3, H, W) in [0, 1] -> scores (N, classes, H, W).
        classes: how many.
        void: the label id that does not count, or None.
        cityscapes: label maps hold Cityscapes' label ids, to be turned into its 19 train ids.
        stride: height and width of photos are multiples of it.
    """

    name: str
    checksum: str
    network: Callable[[Tensor], Tensor]
    classes: int
    void: int | None = None
    cityscapes: bool = False
    stride: int = 1

    def targets(self, ids: np.ndarray) -> np.ndarray:
        """Label ids (H, W) -> class ids, 255 for void.

        Raises:
            ValueError: for an id that is no class.
        """
        if self.cityscapes:
            return train_ids(ids)
        ids = np.asarray(ids).astype(np.int64)
        void = (ids == VOID) | (ids == (VOID if self.void is None else self.void))
        if ids[~void].size and not 0 <= ids[~void].min() <= ids[~void].max() < self.classes:
            raise ValueError(f"class ids {ids[~void].min()} to {ids[~void].max()}, {self.name} knows 0 to "
                             f"{self.classes - 1}" + (f" and {self.void} for void" if self.void is not None else ""))
        return np.where(void, VOID, ids)

    @property
    def class_set(self) -> str:
        """The classes in words."""
        return "Cityscapes, 19 train ids" if self.cityscapes else f"{self.classes} classes"

    @property
    def void_rule(self) -> str:
        """What does not count, in words."""
        if self.cityscapes:
            return "label ids without a train id are left out"
        return f"id {self.void if self.void is not None else VOID} is left out"


@dataclass
class MetricNetworks:
    """The networks that metrics need; `missing` says of a metric why its network is not there."""

    features: FeatureNetwork | None = None
    segmentation: SegmentationNetwork | None = None
    lpips: PerceptualDistance | None = None
    missing: dict[str, str] = field(default_factory=dict)

    def of(self, metric: str):
        """The network of a metric, None where it needs none; ValueError if it is missing."""
        network = {"FID": self.features, "KID": self.features, "mIoU": self.segmentation, "LPIPS": self.lpips}
        if metric in network and network[metric] is None:
            raise ValueError(f"{metric}: {self.missing.get(metric, 'its network is missing')}")
        return network.get(metric)

    def available(self) -> list[str]:
        """The metrics whose networks are there."""
        return [name for name in METRICS if name not in self.missing]


class SetMetrics:
    """Accumulates generated images with what they are compared to.

    Args:
        metrics: names out of `METRICS`.
        networks: what they need.
        reference: (N, D) features for FID and KID; without it those of the ground truths are the reference.

    Raises:
        ValueError: for an unknown metric, or one whose network is missing.
    """

    def __init__(self, metrics: Sequence[str], networks: MetricNetworks, reference: np.ndarray | None = None):
        for name in metrics:
            if name not in METRICS:
                raise ValueError(f"metric {name} is unknown, known: {', '.join(METRICS)}")
            networks.of(name)
        self.metrics, self.networks = list(metrics), networks
        self.image, self.lpips = ImageMetrics(), []
        self.segmentation = SegmentationScores(networks.segmentation.classes) if "mIoU" in metrics else None
        self.features: list[np.ndarray] = []
        self.reference: list[np.ndarray] = [] if reference is None else [reference]
        self._reference_given = reference is not None

    @property
    def distances(self) -> bool:
        """Whether a distance of distributions is wanted."""
        return bool({"FID", "KID"} & set(self.metrics))

    def key(self, metric: str) -> str:
        """The name under which :meth:`compute` gives a metric."""
        features = self.networks.features
        return {"FID": features.frechet, "KID": features.kernel}.get(metric, metric) if features else metric

    @torch.no_grad()
    def update(self, image: Tensor, target: Tensor | None = None, classes: np.ndarray | None = None,
               features: bool = True) -> None:
        """Add images (N, 3, H, W) in [-1, 1]; gray ones are repeated.

        Args:
            image: generated images.
            target: their ground truths, for L1, PSNR, SSIM and LPIPS, and as reference of the distances.
            classes: (N, H', W') class ids as :meth:`SegmentationNetwork.targets` gives them, for mIoU.
            features: False leaves the features of images and targets to the caller.
        """
        if target is not None and {"L1", "PSNR", "SSIM"} & set(self.metrics):
            self.image.update(image, target)
        image = _three(image)
        if target is not None and "LPIPS" in self.metrics:
            self.lpips.append(self.networks.lpips(eight_bits(image) * 2 - 1, eight_bits(_three(target)) * 2 - 1))
        if self.segmentation and classes is not None:
            net = self.networks.segmentation
            if image.shape[-2] % net.stride or image.shape[-1] % net.stride:
                raise ValueError(f"{net.name} takes photos of sides that are multiples of {net.stride}, got "
                                 f"{image.shape[-1]}x{image.shape[-2]}")
            self.segmentation.update(net.network(eight_bits(image)), torch.as_tensor(classes))
        if features and self.distances:
            self.features.append(self.networks.features(eight_bits(image)))
            if target is not None and not self._reference_given:
                self.reference.append(self.networks.features(eight_bits(_three(target))))

    def compute(self, features: np.ndarray | None = None) -> dict[str, float]:
        """Values by name; FID and KID on other features than Inception's are named FD and KD, with the network.

        Args:
            features: (N, D) features of the images, where they were not accumulated.

        Raises:
            ValueError: if what a metric needs was not given.
        """
        values = self.image.compute() if {"L1", "PSNR", "SSIM"} & set(self.metrics) else {}
        values = {name: value for name, value in values.items() if name in self.metrics}
        if "LPIPS" in self.metrics:
            values["LPIPS"] = float(torch.cat(self.lpips).mean())
        if self.distances:
            features = np.concatenate(self.features) if features is None else features
            reference = np.concatenate(self.reference)
            network = self.networks.features
            if "FID" in self.metrics:
                values[network.frechet] = frechet_distance(features, reference)
            if "KID" in self.metrics:
                values[network.kernel] = kernel_distance(features, reference)
        if self.segmentation:
            values |= self.segmentation.compute()
        return values


def _three(image):
    return image.repeat(1, 3, 1, 1) if image.shape[1] == 1 else image

"""All metrics of a set of generated images, and the networks that they need."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..distill.hed import HED_NAME
from ..runtime.text import unknown
from .distances import frechet_distance, kernel_distance
from .features import FeatureNetwork
from .hed_distance import HEDDistance
from .image import SSIM_SIDE, ImageMetrics, as_saved, eight_bits
from .perceptual_distance import PerceptualDistance
from .segmentation import VOID, SegmentationScores, train_ids

METRICS = ("L1", "PSNR", "SSIM", "LPIPS", HED_NAME, "FID", "KID", "mIoU")
PAIRED = ("L1", "PSNR", "SSIM", "LPIPS", HED_NAME)
HIGHER_IS_BETTER = ("PSNR", "SSIM", "mIoU", "pixel_accuracy")
_IMAGE_METRICS = {"L1", "PSNR", "SSIM"}
_DISTANCES = {"FID", "KID"}
_PERCEPTUAL = ("LPIPS", HED_NAME)
HED_KEY = f"{HED_NAME} distance"  # name of the value of the metric HED_NAME


def better_sign(metric: str) -> int:
    """Return 1 if lower values of the metric are better, and -1 if higher values are."""
    return -1 if metric in HIGHER_IS_BETTER else 1


@dataclass(frozen=True)
class SegmentationNetwork:
    """A frozen segmentation network.

    Attributes:
        name: such as ``drn-d-105`` or ``segmenter-1a2b3c4d``.
        checksum: SHA-256 of its file.
        network: maps photos (N, 3, H, W) in [0, 1] to class scores (N, classes, H, W).
        classes: number of classes.
        void: the label id that is ignored, or None.
        cityscapes: whether label maps contain Cityscapes' label ids, to be converted to its 19 train ids.
        stride: height and width of photos must be multiples of this (pixels).
    """

    name: str
    checksum: str
    network: Callable[[Tensor], Tensor]
    classes: int
    void: int | None = None
    cityscapes: bool = False
    stride: int = 1

    def targets(self, ids: np.ndarray) -> np.ndarray:
        """Convert label ids (H, W) to class ids, 255 for void.

        Raises:
            ValueError: for an id that is not a class.
        """
        if self.cityscapes:
            return train_ids(ids)
        ids = np.asarray(ids).astype(np.int64)
        is_void = (ids == VOID) | (ids == self._void_id)
        labeled = ids[~is_void]
        if labeled.size and not 0 <= labeled.min() <= labeled.max() < self.classes:
            void = "" if self.void is None else f" and {self.void} for void"
            raise ValueError(f"class ids {labeled.min()} to {labeled.max()}, {self.name} knows 0 to "
                             f"{self.classes - 1}{void}")
        return np.where(is_void, VOID, ids)

    @property
    def _void_id(self) -> int:
        return VOID if self.void is None else self.void

    @property
    def class_set(self) -> str:
        """The classes, in words."""
        return "Cityscapes, 19 train ids" if self.cityscapes else f"{self.classes} classes"

    @property
    def void_rule(self) -> str:
        """The ignored labels, in words."""
        if self.cityscapes:
            return "label ids without a train id are left out"
        return f"id {self._void_id} is left out"


@dataclass
class MetricNetworks:
    """The networks that metrics need.

    Attributes:
        features: for FID and KID.
        segmentation: for mIoU.
        lpips: for LPIPS.
        hed: for the perceptual distance hed-vgg16.
        missing: metric -> why its network is missing.
    """

    features: FeatureNetwork | None = None
    segmentation: SegmentationNetwork | None = None
    lpips: PerceptualDistance | None = None
    hed: HEDDistance | None = None
    missing: dict[str, str] = field(default_factory=dict)

    def of(self, metric: str) -> MetricNetwork | None:
        """Return the network of a metric, or None if it needs none.

        Raises:
            ValueError: if the network is missing.
        """
        networks = {"FID": self.features, "KID": self.features, "mIoU": self.segmentation,
                    "LPIPS": self.lpips, HED_NAME: self.hed}
        if metric in networks and networks[metric] is None:
            raise ValueError(f"{metric}: {self.missing.get(metric, 'its network is missing')}")
        return networks.get(metric)

    def available(self) -> list[str]:
        """Return the metrics whose networks are not missing."""
        return [name for name in METRICS if name not in self.missing]


MetricNetwork = FeatureNetwork | SegmentationNetwork | PerceptualDistance | HEDDistance


class SetMetrics:
    """Accumulates generated images and their ground truths, and computes metrics.

    Args:
        metrics: names from `METRICS`.
        networks: the networks that they need.
        reference: features (N, D) that FID and KID compare with. The default is those of the ground truths.

    Raises:
        ValueError: for an unknown metric, or a metric whose network is missing.
    """

    def __init__(self, metrics: Sequence[str], networks: MetricNetworks, reference: np.ndarray | None = None):
        for name in metrics:
            if name not in METRICS:
                raise ValueError(unknown(f"metric {name}", name, METRICS))
            networks.of(name)
        self.metrics = list(metrics)
        self.networks = networks
        self.image = ImageMetrics() if _IMAGE_METRICS & set(metrics) else None
        self.perceptual: dict[str, list[Tensor]] = {name: [] for name in _PERCEPTUAL if name in metrics}
        self.features: list[np.ndarray] = []
        self.reference: list[np.ndarray] = [] if reference is None else [reference]
        self._reference_given = reference is not None
        self._feature_network = networks.features if _DISTANCES & set(metrics) else None
        self._segmentation_network = networks.segmentation if "mIoU" in metrics else None
        self.segmentation: SegmentationScores | None = None
        if self._segmentation_network:
            self.segmentation = SegmentationScores(self._segmentation_network.classes)

    @property
    def distances(self) -> bool:
        """Whether FID or KID is computed."""
        return self._feature_network is not None

    def key(self, metric: str) -> str:
        """Return the name of a metric in the result of :meth:`compute`."""
        features = self.networks.features
        names = {HED_NAME: HED_KEY}
        if features is not None:
            names |= {"FID": features.frechet, "KID": features.kernel}
        return names.get(metric, metric)

    @torch.no_grad()
    def update(self, image: Tensor, target: Tensor | None = None,
               classes: Sequence[np.ndarray] | np.ndarray | None = None, features: bool = True) -> None:
        """Add images.

        Args:
            image: generated images (N, 3 or 1, H, W) in [-1, 1]; gray channels are repeated.
            target: their ground truths, for L1, PSNR, SSIM, LPIPS, and hed-vgg16, and as reference of FID and
                KID.
            classes: class ids (H', W') of each image from :meth:`SegmentationNetwork.targets`, for mIoU.
                The label maps may differ in size.
            features: False skips the features of images and targets; :meth:`compute` then needs them.
        """
        if target is not None and self.image:
            self.image.update(image, target)
        image = _as_rgb(image)
        if target is not None:
            for name, distances in self.perceptual.items():
                network: Any = self.networks.of(name)
                distances.append(network(as_saved(image), as_saved(_as_rgb(target))))
        if classes is not None:
            self._update_segmentation(image, classes)
        if features and self._feature_network:
            self.features.append(self._feature_network(eight_bits(image)))
            if target is not None and not self._reference_given:
                self.reference.append(self._feature_network(eight_bits(_as_rgb(target))))

    def _update_segmentation(self, image: Tensor, classes: Sequence[np.ndarray] | np.ndarray) -> None:
        net = self._segmentation_network
        if net is None or self.segmentation is None:
            return
        height, width = image.shape[-2:]
        if height % net.stride or width % net.stride:
            raise ValueError(f"{net.name} needs photos whose sides are multiples of {net.stride}, got "
                             f"{width}x{height}")
        scores = net.network(eight_bits(image))
        for i, ids in enumerate(classes):
            self.segmentation.update(scores[i:i + 1], torch.as_tensor(ids)[None])

    def compute(self, features: np.ndarray | None = None) -> dict[str, float]:
        """Compute the metrics by name.

        On other features than Inception's, FID and KID are named FD and KD, with the network.

        Args:
            features: features (N, D) of the images, if they were not accumulated.

        Raises:
            ValueError: if no images, targets, or labels were added that a metric needs.
        """
        values = {}
        if self.image:
            values = {name: value for name, value in self.image.compute().items() if name in self.metrics}
            if "SSIM" in self.metrics and "SSIM" not in values:
                raise ValueError(f"SSIM needs sides of at least {SSIM_SIDE} pixels; choose other metrics")
        for name, distances in self.perceptual.items():
            values[self.key(name)] = float(torch.cat(distances).mean())
        if self._feature_network:
            features = np.concatenate(self.features) if features is None else features
            reference = np.concatenate(self.reference)
            if "FID" in self.metrics:
                values[self._feature_network.frechet] = frechet_distance(features, reference)
            if "KID" in self.metrics:
                values[self._feature_network.kernel] = kernel_distance(features, reference)
        if self.segmentation:
            values |= self.segmentation.compute()
        return values


def _as_rgb(image: Tensor) -> Tensor:
    return image.repeat(1, 3, 1, 1) if image.shape[1] == 1 else image

"""Score the images of a folder of results: L1, PSNR, SSIM, LPIPS, FID, KID and mIoU."""
from __future__ import annotations

import platform
import subprocess
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from compression.distill.hed import HED_NAME, hed_path
from compression.metrics import METRICS, MetricNetworks, SetMetrics
from compression.metrics.evaluator import PAIRED
from compression.metrics.features import cached_features, checksum
from compression.metrics.image import SSIM_SIDE
from compression.runtime.text import name_some
from data.check import check_images
from data.held_out import held_out
from data.item_names import find_partners
from models.builders import canonical_metrics

from .entry import batched
from .label_maps import LabelMaps
from .reference_images import Reference, find_reference, load_image, size_of, size_text
from .results import NAMED, Results, by_reason

BATCH = 8  # images that are scored at a time


class Evaluation:
    """The metrics of a folder of results.

    Args:
        opt: parsed options of evaluate.py.
        networks: the networks that metrics need.
        results: the images.

    Attributes:
        size: (height, width) of the generated images; None if they differ in size. Then every image is scored
            at its own size.
        reference: {name: file} of the real photos.
        photos: {name of a generated image: file of its ground truth}.
        metrics: the metrics that are computed.
        not_computed: metric -> why it cannot be computed.

    Raises:
        ValueError: if images, photos and label maps do not belong together, or a metric of ``--metrics``
            cannot be computed.
    """

    def __init__(self, opt: Namespace, networks: MetricNetworks, results: Results):
        self.opt = opt
        self.networks = networks
        self.results = results
        generated = [path for files in results.generated.values() for path in files.values()]
        check_images(sorted(set(generated)))
        self.sizes = {path: size_of(path) for path in generated}
        self.size = self.sizes[generated[0]] if len(set(self.sizes.values())) == 1 else None
        self.names = sorted(set().union(*results.generated.values()))
        reference = find_reference(opt) if opt.reference else Reference(results.folder, results.real)
        self.reference, self.side = reference.files, reference.side
        self.reference_folder = reference.folder
        self.photos, self.why_unclear = self._find_photos()
        check_images(sorted(set(self.reference.values())), turn=self.side is None)
        self.not_computed: dict[str, str] = {}
        self.labels: LabelMaps | None = None
        requested = canonical_metrics(opt.metrics) if opt.metrics else list(METRICS)
        self.metrics = [name for name in requested if self.can_compute(name)]
        if opt.metrics and self.not_computed:
            raise ValueError("; ".join(by_reason(self.not_computed)))
        if not self.metrics:
            raise ValueError("nothing can be computed: " + "; ".join(by_reason(self.not_computed)))

    def _find_photos(self) -> tuple[dict[str, Path], str | None]:
        """Find the ground truth of each image by its name; or return why it is not clear."""
        try:
            partners = find_partners(self.names, self.reference, "ground truths")
        except ValueError as error:
            return {}, str(error)
        return {name: self.reference[partner] for name, partner in partners.items()}, None

    def can_compute(self, metric: str) -> bool:
        """Return whether a metric can be computed; if not, `not_computed` states the reason."""
        reason = self.networks.missing.get(metric)
        if reason is None and metric in PAIRED:
            reason = self.why_no_pairs()
            if reason is None and metric == "SSIM" and min(map(min, self.sizes.values())) < SSIM_SIDE:
                reason = f"its window needs sides of at least {SSIM_SIDE} pixels"
        elif reason is None and metric in ("FID", "KID"):
            reason = self.why_no_distances()
        elif reason is None and metric == "mIoU":
            reason = self.why_no_labels()
        if reason:
            self.not_computed[metric] = reason
        return not reason

    def why_no_distances(self) -> str | None:
        """Return why FID and KID cannot be computed, or None."""
        if not self.reference:
            return "no real photos to compare with; give --reference"
        if len(self.reference) < 2 or len(self.names) < 2:
            return f"too few images: {len(self.names)} generated, {len(self.reference)} real ones"
        return None

    def why_no_pairs(self) -> str | None:
        """Return why generated images and real photos do not form pairs, or None.

        Raises:
            ValueError: if only some of the images have a ground truth of their name and size.
        """
        if not self.reference:
            return "no ground truths among the results; give --reference"
        if self.why_unclear:
            return self.why_unclear
        unmatched = [name for name in self.names if name not in self.photos]
        if len(unmatched) == len(self.names) and self.opt.reference:
            return "the photos of --reference are not named like the images, so they are not ground truths"
        if unmatched:
            raise ValueError(f"{len(unmatched)} of {len(self.names)} generated images have no ground truth: "
                             f"{name_some(unmatched, NAMED)}")
        return self.why_other_sizes()

    def why_other_sizes(self) -> str | None:
        """Return why photos of ``--reference`` are no ground truths because of their sizes, or None.

        Raises:
            ValueError: if ground truths among the results differ from their images in size.
        """
        photo_sizes = {name: size_of(photo, self.side) for name, photo in self.photos.items()}
        other_size = sorted({name for files in self.results.generated.values() for name, path in files.items()
                             if photo_sizes[name] != self.sizes[path]})
        if not other_size:
            return None
        size = f" {size_text(self.size)}" if self.size else ""
        if self.opt.reference:
            return (f"{len(other_size)} photos of --reference are not of the images' size{size}: "
                    f"{name_some(other_size, NAMED)}")
        raise ValueError(f"{len(other_size)} ground truths are not of the images' size{size}: "
                         f"{name_some(other_size, NAMED)}")

    def why_no_labels(self) -> str | None:
        """Find the label maps; return why there is no mIoU, or None.

        Raises:
            ValueError: if only some of the images have a label map, or ``--labels`` cannot be read.
        """
        try:
            dataset = None
            if not self.opt.labels and (self.opt.dataroot or not self.opt.results):
                dataset = held_out(self.opt, self.opt.phase).dataset
            self.labels = LabelMaps(self.opt, self.networks.segmentation, dataset, self.names)
            if self.labels.read is None:
                return "give --labels, a folder of label maps named like the images"
        except ValueError as error:
            if self.opt.labels:
                raise
            return str(error)
        stride = self.networks.segmentation.stride
        indivisible = [size for size in set(self.sizes.values()) if size[0] % stride or size[1] % stride]
        if indivisible:
            return (f"{self.networks.segmentation.name} needs photos whose sides are multiples of {stride}, "
                    f"got {name_some(map(size_text, indivisible))}")
        missing = self.labels.missing(self.names)
        if missing:
            where = f" in {self.opt.labels}" if self.opt.labels else ""
            raise ValueError(f"{len(missing)} of {len(self.names)} generated images have no label "
                             f"map{where}: {name_some(missing, NAMED)}")
        return None

    def run(self) -> dict[str, dict[str, float]]:
        """Compute the metrics of all generated images.

        Returns:
            label -> metric -> value. The row ``real`` is the mIoU of the real photos, an upper bound in
            practice.
        """
        reference = None
        if {"FID", "KID"} & set(self.metrics):
            reference = self.features([self.reference[name] for name in sorted(self.reference)], self.side)
        scores = {label: self.score(label, files, self.metrics, reference)
                  for label, files in self.results.generated.items()}
        if "mIoU" in self.metrics and set(self.names) <= set(self.photos):
            scores["real"] = self.score("real", self.photos, ["mIoU"], None, self.side)
        return scores

    def score(self, label: str, files: dict[str, Path], metric_names: Sequence[str],
              reference: np.ndarray | None, side: str | None = None) -> dict[str, float]:
        """Compute metrics of one set of images.

        Args:
            label: the name of the set, for the progress bar.
            files: {name: file}.
            metric_names: the metrics.
            reference: features of the real photos, (N, D), for FID and KID.
            side: the half of each file that is the image, None for all of it.
        """
        metrics = SetMetrics(metric_names, self.networks, reference)
        names = sorted(files)
        is_paired = bool(set(PAIRED) & set(metric_names))
        if is_paired or metrics.segmentation is not None:
            for part in tqdm(self.batches(names), desc=label, unit="batch", dynamic_ncols=True):
                size = self.size or self.image_size(part[0])
                images = self.load([files[name] for name in part], size, side)
                targets = None
                if is_paired:
                    targets = self.load([self.photos[name] for name in part], size, self.side)
                classes = [self.labels.of(name) for name in part] if metrics.segmentation else None
                metrics.update(images, targets, classes, features=False)
        features = self.features([files[name] for name in names], side) if metrics.distances else None
        return metrics.compute(features)

    def batches(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        """Split images or their names into batches; each is one image where the images differ in size."""
        return batched(items, BATCH if self.size else 1)

    def image_size(self, name: str) -> tuple[int, int]:
        """Return the (height, width) of the generated images of one item."""
        return next(self.sizes[files[name]] for files in self.results.generated.values() if name in files)

    def load(self, files: Iterable[Path], size: tuple[int, int] | None, side: str | None = None) -> Tensor:
        """Load image files, resized to `size` where it is not None: (N, 3, H, W) in [-1, 1]."""
        return torch.stack([load_image(path, size, side) for path in files]).to(self.opt.device)

    def features(self, files: Sequence[Path], side: str | None = None) -> np.ndarray:
        """Compute the features (N, D) of image files, or read those of unchanged files from the cache."""
        network = self.networks.features

        def extract() -> np.ndarray:
            parts = tqdm(self.batches(files), desc="features", unit="batch", dynamic_ncols=True)
            return np.concatenate([network((self.load(part, self.size, side) + 1) / 2) for part in parts])

        cache = Path(self.opt.results_dir) / "features"
        return cached_features(network, files, extract, cache, f"{self.size} {side}")

    def counts(self) -> dict[str, int]:
        """Return the number of images of each label, and of real photos."""
        return {label: len(files) for label, files in self.results.generated.items()} | {
            "real": len(self.photos)}

    def protocol(self) -> dict[str, Any]:
        """Describe how the metrics were computed."""
        networks = self.networks
        sizes = Counter(self.image_size(name) for name in self.names)
        (size, _), *others = sizes.most_common()
        protocol: dict[str, Any] = {"images": len(self.names), "height": size[0], "width": size[1],
                                    "values": "8-bit images; PSNR and SSIM are means over images"}
        if others:
            counts = [f"{width}x{height} ({count})" for (height, width), count in sizes.most_common()]
            protocol["sizes"] = f"{name_some(counts, NAMED)}; every image is scored at its own size"
        if {"FID", "KID"} & set(self.metrics):
            protocol["features"] = {"network": networks.features.name, "sha256": networks.features.checksum,
                                    "resize": networks.features.resize}
            resize = f"bicubic, anti-aliased, to {size_text(size)} where another size"
            source = str(self.reference_folder) if self.opt.reference else "the real photos among the results"
            protocol["reference"] = {"source": source, "images": len(self.reference),
                                     "resize": "none" if others else resize}
        if "mIoU" in self.metrics:
            net = networks.segmentation
            protocol["segmentation"] = {"network": net.name, "sha256": net.checksum, "classes": net.class_set,
                                        "void": net.void_rule, "labels": self.opt.labels or "of the data set",
                                        "resolution": "scores are resized (bilinear) to the label map's"}
        if "LPIPS" in self.metrics:
            protocol["LPIPS"] = "AlexNet, torchmetrics"
        if HED_NAME in self.metrics:
            protocol[HED_NAME] = {"sha256": checksum(hed_path()), "layers": "relu1_2 to relu5_3, unit length"}
        return {**protocol, "code": code_version(), "torch": torch.__version__, "machine": platform.machine()}


def merge_scores(record: dict[str, Any], scores: dict[str, dict[str, float]],
                 images: Mapping[str, int]) -> None:
    """Add scores to the content of ``metrics.json``.

    Earlier values of other metrics are kept if they are of equally many images, except distances of
    distributions where new ones were computed: the earlier ones may be on the features of another network.

    Args:
        record: the content.
        scores: label -> metric -> value.
        images: label -> number of images.
    """
    for label, values in scores.items():
        is_equal = record["images"].get(label, images[label]) == images[label]
        earlier = record["metrics"].get(label, {}) if is_equal else {}
        record["images"][label] = images[label]
        if any(is_distance(name) for name in values):
            earlier = {name: value for name, value in earlier.items() if not is_distance(name)}
        record["metrics"][label] = {**earlier, **values}


def is_distance(name: str) -> bool:
    """Return whether a value is a distance of distributions, on any features."""
    return name.partition("(")[0] in ("FID", "KID", "FD", "KD")


def code_version() -> str:
    """Return the commit of this checkout, or that there is none."""
    root = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True,
                              text=True, encoding="utf-8", errors="replace", timeout=10, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "no git checkout"

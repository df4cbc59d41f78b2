"""Measure generated images as the field does: L1, PSNR, SSIM, LPIPS, FID, KID, mIoU; and write the report page.

    python evaluate.py --name exp_s --phase val                         # run a model, then score its images
    python evaluate.py --results results/exp_s/val_latest               # score images that are there
    python evaluate.py --results photos_generated --reference photos_real

Writes metrics.json beside the images, with the protocol and, of what could not be computed, why; and report.html in the
run's folder of results.
"""
import platform
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from compression import to_tensor
from compression.checkpoints.files import write_json
from compression.metrics import METRICS, SetMetrics
from compression.metrics.evaluator import PAIRED
from compression.metrics.features import cached_features
from compression.runtime.text import name_some
from data import create_dataset
from data.check import check_images
from data.held_out import held_out
from data.image_folder import make_dataset, open_photo, opened
from data.image_folder import size_of as stored_size
from models import create_model
from models.builders import build_metric_networks, canonical_metrics
from options.evaluate_options import EvaluateOptions
from options.ugc_options import sides
from util.entry import run_main, seed_everything
from util.evaluation import LabelMaps
from util.report import write_report
from util.results import (
    by_reason,
    make_results,
    print_table,
    read_metrics,
    read_results,
    results_table,
)

BATCH = 8


class Evaluation:
    """The metrics of a folder of results.

    Args:
        opt: parsed options.
        networks: MetricNetworks.
        results: the images.

    Raises:
        ValueError: if images, photos and label maps do not belong together, or a metric of ``--metrics`` cannot be
            computed.
    """

    def __init__(self, opt, networks, results):
        self.opt, self.networks, self.results = opt, networks, results
        check_images(sorted({path for files in results.generated.values() for path in files.values()}))
        self.size = common_size(results.generated)
        self.names = sorted(set().union(*results.generated.values()))
        self.reference, self.side = (reference_files(opt) if opt.reference else (results.real, None))
        check_images(sorted(set(self.reference.values())), turn=self.side is None)
        self.not_computed = {}
        self.labels = None
        wanted = canonical_metrics(opt.metrics) if opt.metrics else list(METRICS)
        self.metrics = [name for name in wanted if self.possible(name)]
        if opt.metrics and self.not_computed:
            raise ValueError("; ".join(by_reason(self.not_computed)))
        if not self.metrics:
            raise ValueError("nothing can be computed: " + "; ".join(by_reason(self.not_computed)))

    def possible(self, metric):
        """Whether a metric can be computed; if not, `not_computed` says why."""
        why = self.networks.missing.get(metric)
        if not why and metric in PAIRED:
            why = self.why_no_pairs()
        elif not why and metric in ("FID", "KID"):
            if len(self.reference) < 2 or len(self.names) < 2:
                why = (f"too few images: {len(self.names)} generated, {len(self.reference)} real ones" if self.reference
                       else "no real photos to compare with; give --reference")
        elif not why and metric == "mIoU":
            why = self.why_no_labels()
        if why:
            self.not_computed[metric] = why
        return not why

    def why_no_pairs(self):
        """Why generated images and real photos are no pairs, or None."""
        if not self.reference:
            return "no ground truths among the results; give --reference"
        alone = sorted(set(self.names) - set(self.reference))
        if len(alone) == len(self.names) and self.opt.reference:
            return "the photos of --reference are not named like the images: they are no ground truths"
        if alone:
            raise ValueError(f"{len(alone)} of {len(self.names)} generated images have no ground truth: "
                             f"{name_some(alone, 10)}")
        sizes = {name: size_of(self.reference[name], self.side) for name in self.names}
        wrong = [name for name, size in sizes.items() if size != self.size]
        if wrong and self.opt.reference:
            return (f"{len(wrong)} photos of --reference are not of the images' size {text(self.size)}: "
                    f"{name_some(sorted(wrong), 10)}")
        if wrong:
            raise ValueError(f"{len(wrong)} ground truths are not of the images' size {text(self.size)}: "
                             f"{name_some(sorted(wrong), 10)}")
        return None

    def why_no_labels(self):
        """Why there is no mIoU, or None; opens the label maps."""
        try:
            dataset = None
            if not self.opt.labels and (self.opt.dataroot or not self.opt.results):
                dataset = held_out(self.opt, self.opt.phase).dataset
            self.labels = LabelMaps(self.opt, self.networks.segmentation, dataset)
            if self.labels.read is None:
                return "give --labels, a folder of label maps named like the images"
        except ValueError as error:
            if self.opt.labels:
                raise
            return str(error)
        alone = self.labels.without(self.names)
        if alone:
            raise ValueError(f"{len(alone)} of {len(self.names)} generated images have no label map"
                             f"{' in ' + self.opt.labels if self.opt.labels else ''}: {name_some(sorted(alone), 10)}")
        return None

    def run(self):
        """Scores by label of the images; ``real``, the real photos, has an mIoU too: the ceiling."""
        reference = None
        if {"FID", "KID"} & set(self.metrics):
            names = sorted(self.reference)
            reference = self.features([self.reference[name] for name in names], self.side)
        scores = {}
        for label, files in self.results.generated.items():
            scores[label] = self.score(label, files, self.metrics, reference)
        if "mIoU" in self.metrics and set(self.names) <= set(self.reference):
            scores["real"] = self.score("real", {name: self.reference[name] for name in self.names}, ["mIoU"], None, self.side)
        return scores

    def score(self, label, files, metrics, reference, side=None):
        """The metrics of one set of images."""
        found = SetMetrics(metrics, self.networks, reference)
        names = sorted(files)
        pairs, segmented = bool(set(PAIRED) & set(metrics)), found.segmentation is not None
        if pairs or segmented:
            for part in tqdm([names[i:i + BATCH] for i in range(0, len(names), BATCH)], desc=label, unit="batch",
                             dynamic_ncols=True):
                images = self.load([files[name] for name in part], side)
                targets = self.load([self.reference[name] for name in part], self.side) if pairs else None
                self.update(found, part, images, targets, segmented)
        features = self.features([files[name] for name in names], side) if found.distances else None
        return found.compute(features)

    def update(self, found, names, images, targets, segmented):
        """One batch; label maps of several sizes go one by one."""
        classes = [self.labels.of(name) for name in names] if segmented else None
        if not segmented or len({c.shape for c in classes}) == 1:
            found.update(images, targets, np.stack(classes) if segmented else None, features=False)
            return
        for i in range(len(names)):
            found.update(images[i:i + 1], None if targets is None else targets[i:i + 1], classes[i][None], features=False)

    def load(self, files, side=None):
        """Image files -> (N, 3, H, W) in [-1, 1] on the device; real photos of another size are resized (bicubic)."""
        images = []
        for path in files:
            image = half(open_photo(path, turn=side is None), side)
            if (image.height, image.width) != self.size:
                image = image.resize(self.size[::-1], Image.Resampling.BICUBIC)
            images.append(to_tensor(image)[0])
        return torch.stack(images).to(self.opt.device)

    def features(self, files, side=None):
        """Features (N, D) of image files, from the cache where they are unchanged."""
        network = self.networks.features

        def extract():
            parts = [files[i:i + BATCH] for i in range(0, len(files), BATCH)]
            return np.concatenate([network((self.load(part, side) + 1) / 2)
                                   for part in tqdm(parts, desc="features", unit="batch", dynamic_ncols=True)])

        return cached_features(network, files, extract, Path(self.opt.results_dir) / "features", f"{self.size} {side}")

    def protocol(self):
        """How the figures were made."""
        networks, found = self.networks, {"images": len(self.names), "height": self.size[0], "width": self.size[1],
                                          "values": "8-bit images; PSNR and SSIM are means over images"}
        if {"FID", "KID"} & set(self.metrics):
            found["features"] = {"network": networks.features.name, "sha256": networks.features.checksum,
                                 "resize": networks.features.resize}
            found["reference"] = {"source": self.opt.reference or "the real photos among the results",
                                  "images": len(self.reference),
                                  "resize": f"bicubic, anti-aliased, to {text(self.size)} where another size"}
        if "mIoU" in self.metrics:
            net = networks.segmentation
            found["segmentation"] = {"network": net.name, "sha256": net.checksum, "classes": net.class_set,
                                     "void": net.void_rule, "labels": self.opt.labels or "of the data set",
                                     "resolution": "scores are resized (bilinear) to the label map's"}
        if "LPIPS" in self.metrics:
            found["LPIPS"] = "AlexNet, torchmetrics"
        return {**found, "code": code_version(), "torch": torch.__version__, "machine": platform.machine()}


def is_distance(name):
    """Whether a value is a distance of distributions, on whatever features."""
    return name.partition("(")[0] in ("FID", "KID", "FD", "KD")


def common_size(generated):
    """(height, width) of all images; ValueError if they differ."""
    sizes = {}
    for files in generated.values():
        for path in files.values():
            sizes.setdefault(size_of(path), []).append(path.name)
    if len(sizes) > 1:
        most = max(sizes, key=lambda size: len(sizes[size]))
        others = sorted(name for size, names in sizes.items() if size != most for name in names)
        raise ValueError(f"the generated images differ in size: {len(sizes[most])} are {text(most)}, {len(others)} are not: "
                         f"{name_some(others, 10)}")
    return next(iter(sizes))


def size_of(path, side=None):
    """(height, width) of an image file, or of one half of it."""
    with opened(path) as image:
        width, height = stored_size(image, turn=side is None)
    return height, width // 2 if side else width


def text(size):
    """(height, width) -> ``widthxheight`` in words."""
    return f"{size[1]}x{size[0]} (width x height)"


def half(image, side):
    """The left or right half of a pair's image, or the whole."""
    middle = image.width // 2
    return image if side is None else image.crop((0, 0, middle, image.height) if side == "left" else
                                                 (middle, 0, 2 * middle, image.height))


def reference_files(opt):
    """``--reference`` -> ({name: file}, the half of each image that is the photo, or None).

    A data root has the photos of ``--phase`` in ``leftImg8bit/<phase>``, ``<phase>_img``, ``<phase>B`` (unpaired;
    ``<phase>A`` with ``--direction BtoA``), ``<phase>`` beside ``<phase>annot``, or ``<phase>`` as pairs A | B.
    """
    root, phase = Path(opt.reference), opt.phase
    side = None
    if not root.is_dir():
        raise ValueError(f"--reference {root}: no such folder")
    folders = [root / "leftImg8bit" / phase, root / f"{phase}_img", root / f"{phase}{sides(opt)[1]}"]
    folder = next((f for f in folders if f.is_dir()), None)
    if folder is None and (root / phase).is_dir():
        folder = root / phase
        if not (root / f"{phase}annot").is_dir():
            side = {"A": "left", "B": "right"}[sides(opt)[1]]
    return {Path(path).stem: Path(path) for path in make_dataset(folder or root, flag="--reference")}, side


def check_files(opt):
    """``--check_data``: decode all images of ``--results`` and ``--reference``, or of the data set, and tell what they are."""
    if not opt.results:
        create_dataset(opt)  # which ends the program
    results, (reference, side) = read_results(opt.results), reference_files(opt) if opt.reference else ({}, None)
    files = {path for group in (*results.generated.values(), results.real, results.inputs) for path in group.values()}
    found = check_images(sorted(files), full=True)
    found += check_images(sorted(reference.values()), turn=side is None, full=True)
    print(f"checked {opt.results}{f' and {opt.reference}' if opt.reference else ''}: all usable\n{found}")


def code_version():
    """The commit of this checkout, or that there is none."""
    here = Path(__file__).resolve().parent
    try:
        return subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True,
                              timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "no git checkout"


def main():
    """Score a run or a folder."""
    opt = EvaluateOptions().parse()
    opt.num_threads, opt.batch_size, opt.serial_batches, opt.no_flip = 0, 1, True, True
    seed_everything(opt.seed)
    if opt.check_data:
        return check_files(opt)
    networks = build_metric_networks(opt, opt.device)
    if opt.metrics:
        canonical_metrics(opt.metrics)
    if opt.results:
        folder, found = Path(opt.results), read_metrics(opt.results)
    else:
        model = create_model(opt)
        model.setup(opt)
        folder, found = make_results(opt, model)
    evaluation = Evaluation(opt, networks, read_results(folder))
    scores = evaluation.run()
    for label, values in scores.items():
        before = found["metrics"].get(label, {})
        if any(map(is_distance, values)):  # on other features, perhaps
            before = {name: value for name, value in before.items() if not is_distance(name)}
        found["metrics"][label] = {**before, **values}
    found["protocol"] = {**found["protocol"], **evaluation.protocol()}
    found["not_computed"] = evaluation.not_computed
    write_json(folder / "metrics.json", found)
    print_table(*results_table(found["networks"], found["metrics"]))
    for reason in by_reason(evaluation.not_computed):
        print(f"not computed: {reason}")
    print(f"report: {write_report(opt, folder, found)}")


if __name__ == "__main__":
    run_main(main)

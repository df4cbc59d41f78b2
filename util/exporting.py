"""Export a generator: write a file, open it in its runtime, and compare it with PyTorch."""
from __future__ import annotations

import os
import secrets
import shutil
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compression import CostModel
from compression.checkpoints import run_of
from compression.checkpoints.files import read_json, require_replaceable, write_json
from compression.deploy.formats import FORMATS, Shapes, describe_inputs
from compression.deploy.graph import DeployedGenerator
from compression.deploy.interface import IDS, ONE_HOT, Interface
from compression.deploy.packages import require
from compression.deploy.precision import write_in_precision
from compression.deploy.rewrites import GAINS, rewrite
from compression.deploy.runtimes import Session, open_session
from compression.deploy.verification import TOLERANCES, compare, latencies, reference
from compression.elastic.generator import ElasticGenerator
from compression.runtime.images import padded_size
from compression.runtime.lab import colorizes
from compression.runtime.text import printable
from data import create_dataset
from models.builders import build_metric_networks, canonical_metrics
from options.student_settings import inputs_of
from options.ugc_options import sides

from .evaluation import Evaluation
from .export_images import Items, batches, calibration_items, compared_items, resize_item, save_pair
from .lock import FolderLock
from .results import read_results

_PACKAGES = {"onnx": ("onnx", "onnxruntime"), "web": ("onnx", "onnxruntime"),
             "openvino": ("onnx", "openvino")}  # that a format needs
LATENCY_SECONDS = 1.0  # of a measurement
_TEMPORARY = ".export.{}.tmp"  # name of a temporary folder
_VERSIONS = ("torch", "onnx", "onnxruntime", "openvino", "nncf")


class Export:
    """A file to export, with the images that it is calibrated with and compared on.

    Args:
        opt: parsed options.
        model: the model, which has loaded its generator.

    Attributes:
        net: the generator, in eval mode on the CPU.
        path: the file.
        interface: its inputs and its output.
        shapes: the shapes that it takes.
        items: the inputs that are compared, as the file takes them.

    Raises:
        ValueError: if a package is missing, the settings contradict the network, or images are missing.
    """

    def __init__(self, opt: Namespace, model):
        self.opt = opt
        self.model = model
        self.format = FORMATS[opt.format]
        for package in _PACKAGES.get(opt.format, ()):
            require(package)
        if opt.precision == "int8":
            require({"onnx": "onnxruntime", "openvino": "nncf"}[opt.format])
        self.net: ElasticGenerator = model.netG.cpu().eval()
        self.interface = interface_of(opt, model)
        self.path = output_path(opt)
        self.require_target()
        if opt.metrics:
            canonical_metrics(opt.metrics)
        self.compared = compared_items(opt)
        self.calibration = calibration_items(opt) if opt.precision == "int8" else None
        raw = list(self.compared)
        self.shapes = self._shapes(raw[0])
        self.items = [self.fit(item) for item in raw]
        self.scaled = sum(item.shape != before.shape for item, before in zip(self.items, raw, strict=True))

    def require_target(self) -> None:
        """Check that the files can be written, and that those next to the file belong to an earlier export.

        Raises:
            ValueError: if a file of another origin has the name of the record or of a companion.
        """
        for path in (self.path, failed(self.path)):
            require_replaceable(path)
            companions = [path.with_suffix(suffix) for suffix in self.format.companions]
            require_own([self.record_path(path), *companions], path)

    def record_path(self, path: Path) -> Path:
        """Return the file of the measurements, next to the exported file."""
        return path.with_suffix(".json")

    def _shapes(self, first: Tensor) -> Shapes:
        """Determine the shapes that the file takes; without ``--size`` that of the first image."""
        opt = self.opt
        own = (first.shape[-2], first.shape[-1])
        size = opt.size or (own if opt.pad else padded_size(self.net, own))
        problem = None if opt.pad else self.net.size_error(*size)
        if problem:
            raise ValueError(f"--size {size[0]}x{size[1]}: {problem}; or --pad pads in the file")
        if self.net.config.get("z_dim") and (opt.dynamic_size or opt.pad):
            raise ValueError("--dynamic_size and --pad: a SPADE generator with a style code has one size")
        if opt.dynamic_size and not opt.size:  # an example for exporters
            size = padded_size(self.net, own)
        return Shapes(size, opt.batch_size, opt.dynamic_size, opt.dynamic_batch)

    def fit(self, item: Tensor) -> Tensor:
        """Scale an item to a size that the file takes."""
        size = None if self.shapes.dynamic_size else self.shapes.size
        return resize_item(item, self.net, size, self.opt.pad)

    def metadata(self) -> dict[str, Any]:
        """Return what the file says about itself."""
        opt, net, shapes = self.opt, self.net, self.shapes
        config = net.config
        size = padded_size(net, shapes.size)
        passes = GAINS[self.format.runtime]
        graph = self.graph
        return {
            "format": opt.format, "precision": opt.precision,
            "network": getattr(self.model, "label", "generator"), "family": net.full.family,
            "architecture": net.full.to_json(), "settings": dict(config),
            **CostModel.of(net, size).cost(net.full), "size": list(size), "norm": config.get("norm"),
            "batch_norm": describe_batch_norm(net),
            "dropout": "off, as in eval mode" if config.get("dropout") else "none",
            "color_order": color_order(self.interface), "layout": "NCHW",
            "value_range": {"input": self.interface.input_values, "output": self.interface.output_values},
            "interface": self.interface.metadata(), "inputs": describe_inputs(graph, shapes),
            "stride": net.stride, "min_side": net.stride * net.min_strides, "rewrites": list(passes),
            "input": inputs_of(opt), "name": opt.name, "run": run_of(self.model.path),
            "date": datetime.now().isoformat(" ", "minutes"), "versions": versions()}

    def write(self, path: Path) -> Session:
        """Write the file and open it in its runtime."""
        opt = self.opt
        samples: Iterator = iter(())
        if self.calibration:
            resized_items = [self.fit(item) for item in self.calibration]
            groups = batches(resized_items, 1 if opt.dynamic_batch else opt.batch_size)
            samples = map(self.interface.arrays, groups)
        write_in_precision(opt.format, opt.precision, self.graph, self.shapes, self.metadata(), path, samples)
        return open_session(path, self.format.runtime, opt.threads)

    @property
    def graph(self) -> DeployedGenerator:
        """The graph of the file in fp32."""
        passes = GAINS[self.format.runtime]
        return DeployedGenerator(rewrite(self.net, passes), self.interface, self.shapes.dynamic_size)

    def run(self) -> tuple[dict[str, Any], str | None]:
        """Export: write the file, and compare it with PyTorch.

        Returns:
            The record, which is written next to the file, and why the file failed; None if it did not. A file
            that failed is kept under another name, and leaves an earlier file unchanged.
        """
        opt = self.opt
        with _folder_next_to(self.path) as folder:
            path = folder / f"network{self.format.suffix}"
            session = self.write(path)
            session.name = str(self.path)
            formed = batches(self.items, 1 if opt.dynamic_batch else opt.batch_size)
            if opt.dynamic_batch:
                formed.append(batches(self.items[:1], 2)[0])
            comparison = compare(self.net, session, formed, self.interface)
            failure = comparison.failure(opt.precision, opt.output_values, opt.min_psnr)
            target = self.path if failure is None else failed(self.path)
            files = sorted(folder.glob("network.*"), key=lambda file: file.suffix == self.format.suffix)
            measure, bound = TOLERANCES[opt.precision] if opt.min_psnr is None else ("psnr", opt.min_psnr)
            record: dict[str, Any] = {
                "file": target.name, "bytes": sum(file.stat().st_size for file in files),
                "torch_bytes": 4 * sum(parameter.numel() for parameter in self.net.parameters()),
                "passed": failure is None, "failure": failure, "tolerance": {measure: bound},
                "comparison": {**comparison.measurements(), "source": self.compared.source,
                               "scaled": self.scaled},
                "calibration": self.calibration and {"images": len(self.calibration),
                                                     "source": self.calibration.source},
                "latency": latencies(self.net, session, formed[0], self.interface, LATENCY_SECONDS),
                "runtime": session.runtime, "metadata": session.metadata}
            if opt.metrics and failure is None:
                record["metrics"] = self.score(session, folder / "results")
            # the record first, so that an interrupted export can be repeated; the main file last
            write_json(folder / "network.json", record)
            for file in (folder / "network.json", *files):
                os.replace(file, target.with_suffix(file.suffix))
        return record, failure

    def score(self, session: Session, folder: Path) -> dict[str, Any]:
        """Compute ``--metrics`` of the file and of PyTorch on the data set.

        Args:
            session: the file.
            folder: a folder for the images.
        """
        opt = self.opt
        dataset = create_dataset(opt).dataset
        names = dataset.item_names()
        label = getattr(self.model, "label", "fake")
        _, target = sides(opt)
        items = Items(dataset, opt.num_test or len(names), self.compared.source)
        for index, item in zip(items.indices, items, strict=True):
            if self.fit(item).shape != item.shape:
                height, width = item.shape[-2:]
                raise ValueError(f"--metrics: {names[index]} is {height}x{width} (HxW), which the "
                                 "file does not take; export with --dynamic_size and --pad")
            image = self.interface.image(session(*self.interface.arrays(item)))
            images = {label: reference(self.net, item, self.interface), "generated": image}
            pair = dataset[index]
            if target in pair:
                images["real_B"] = pair[target][None]
            save_pair(folder, names[index], self.interface.condition(item), images)
        (folder / "index.html").touch()
        options = Namespace(**{**vars(opt), "results": None, "reference": None})
        scores = Evaluation(options, build_metric_networks(opt, opt.device), read_results(folder)).run()
        return {"images": len(items), "pytorch": scores[label], "file": scores["generated"]}


def interface_of(opt: Namespace, model) -> Interface:
    """Determine the inputs and the output of the file from the options and the network."""
    config = model.netG.config
    classes = model.encoding.classes if getattr(opt, "label_nc", 0) else 0
    labels = {"classes": classes, "dontcare": bool(opt.contain_dontcare_label),
              "instance": model.encoding.instance} if classes else {}
    input_values = opt.input_values or (ONE_HOT if classes else "signed")
    return Interface(config["input_nc"], config["output_nc"], input_values, opt.output_values, pad=opt.pad,
                     **labels)


def output_path(opt: Namespace) -> Path:
    """Return the exported file: ``--output``, or by default ``exports/NAME/FORMAT_PRECISION``."""
    suffix = FORMATS[opt.format].suffix
    return Path(opt.output or Path("exports") / opt.name / f"{opt.format}_{opt.precision}{suffix}")


def require_own(neighbors: list[Path], path: Path) -> None:
    """Raise a ValueError if `neighbors`, a record and further files, exist without a record of `path`."""
    for neighbor in neighbors:
        require_replaceable(neighbor)
    existing = [neighbor for neighbor in neighbors if neighbor.exists()]
    if existing and recorded_file(neighbors[0]) != path.name:
        raise ValueError(f"--output {path}: would replace {existing[0]}, which is not of an export to "
                         f"{path.name}; choose another name, or move the file")


def recorded_file(path: Path) -> str | None:
    """Return the name of the exported file that a record describes; None if `path` is not one."""
    try:
        record = read_json(path)
    except (OSError, ValueError):
        return None
    return record.get("file") if "comparison" in record else None


def failed(path: Path) -> Path:
    """Return the name under which a file is kept that differs too much from PyTorch."""
    return path.with_name(f"{path.stem}.failed{path.suffix}")


def describe_batch_norm(net: ElasticGenerator) -> str:
    """Describe what the file computes for the batch norms of the network."""
    has_batch_norm = any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    return "running statistics, as in eval mode, folded into convolutions" if has_batch_norm else "none"


def color_order(interface: Interface) -> dict[str, str]:
    """Describe the channels of the input and of the output."""
    names = {1: "gray", 3: "RGB"}
    if colorizes(interface.input_nc, interface.output_nc):
        return {"input": "L of Lab", "output": "a and b of Lab"}
    source = names.get(interface.input_nc, f"{interface.input_nc} channels")
    if interface.classes:
        source = "class ids" if interface.input_values == IDS else "one channel for each class"
        source += " and instance ids" if interface.instance and interface.input_values == IDS else ""
        source += " and instance edges" if interface.instance and interface.input_values == ONE_HOT else ""
    return {"input": source, "output": names.get(interface.output_nc, f"{interface.output_nc} channels")}


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that exports use."""
    found = {}
    for package in _VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def export_table(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Tabulate the record of an export: the header, and one row each for PyTorch and for the file."""
    latency, comparison = record["latency"], record["comparison"]
    metrics = record.get("metrics", {})
    names = list(metrics.get("file", {}))

    def scores(row: str) -> list[str]:
        return [f"{metrics[row][name]:.4g}" for name in names]

    header = ["", "max error", "mean error", "PSNR (dB)", "latency (ms)", "size (MB)", *names]
    rows = [["PyTorch, eager fp32", "-", "-", "-", f"{latency['torch_ms']:.1f}",
             f"{record['torch_bytes'] / 1e6:.2f}", *scores("pytorch")],
            [f"{record['runtime']} {record['metadata']['precision']}",
             f"{float(comparison['max_error']):.2g}", f"{float(comparison['mean_error']):.2g}",
             f"{float(comparison['psnr']):.1f}", f"{latency['latency_ms']:.1f}",
             f"{record['bytes'] / 1e6:.2f}", *scores("file")]]
    return header, rows


def describe_export(export: Export, record: dict[str, Any]) -> str:
    """Describe the measurements of an export for the user."""
    latency, comparison = record["latency"], record["comparison"]
    shape = "x".join(map(str, latency["size"]))
    scaled = f", {comparison['scaled']} of them scaled" if comparison["scaled"] else ""
    return (f"errors are on the scale from -1 to 1, the PSNR is that of the worst image; "
            f"{comparison['images']} images of {printable(comparison['source'])}{scaled}; latency: median "
            f"of one call with {latency['batch']} x {shape} (HxW), {latency['threads']} threads")


@contextmanager
def _folder_next_to(path: Path) -> Iterator[Path]:
    """Create a temporary folder on the disk of a file, and remove it at the end.

    Those of exports that were killed are removed too.
    """
    for left in path.parent.glob(_TEMPORARY.format("*")):
        with suppress(ValueError, OSError), FolderLock(left):  # ValueError: another export is using it
            shutil.rmtree(left, ignore_errors=True)
    folder = path.parent / _TEMPORARY.format(secrets.token_hex(4))
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f"{path.parent}: no file can be written there ({error.strerror}); choose another "
                         "--output") from None
    try:
        with FolderLock(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

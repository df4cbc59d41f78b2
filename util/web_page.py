"""Export a generator as a page that draws: ``export.py --format web``."""
from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compression import CostModel
from compression.checkpoints.files import write_json
from compression.deploy.runtimes import open_session
from compression.deploy.verification import TOLERANCES, compare, latencies
from compression.deploy.web import (
    PageNetwork,
    Sample,
    describe_input,
    page_network,
    require_page_or_nothing,
    write_page,
)
from compression.deploy.web_runtime import fetch_runtime
from compression.elastic.generator import ElasticGenerator
from compression.runtime.lab import colorize, colorizes
from compression.runtime.text import printable
from data.class_names import names_of_colors, names_of_ids, read_names

from .exporting import Export, failed, require_own

MOST_MEGABYTES = 350  # browsers limit a text, here base64 of gzip, to about 512 million characters


class PageExport(Export):
    """A page to export. The images that are compared with PyTorch are its samples.

    Args:
        opt: parsed options.
        model: the model, which has loaded its generator.
    """

    def __init__(self, opt: Namespace, model):
        super().__init__(opt, model)
        is_toy = "toy" in (opt.dataset_mode, getattr(opt, "base_dataset_mode", None)) and not opt.input
        self.check_sizes()
        names = read_names(opt.class_names) if opt.class_names else \
            names_of_ids(getattr(opt, "label_nc", 0), is_toy)
        self.samples = samples_of(self.items, self.compared.names, self.net)
        encoding = self.interface.encoding if self.interface.classes else None
        self.page_input = describe_input(self.samples, encoding, opt.page, names_of_colors(is_toy), names)
        self.runtime = fetch_runtime(opt.web_runtime) if opt.web_runtime != "none" else None

    def require_target(self) -> None:
        """Check that the folder of the page is new, or an earlier page."""
        for path in (self.path, failed(self.path)):
            require_page_or_nothing(path)
            require_own([self.record_path(path)], path)

    def record_path(self, path: Path) -> Path:
        """Return the file of the measurements of a page, next to its folder."""
        return path.with_name(f"{path.name}.json")

    def check_sizes(self) -> None:
        """Check that a browser can load the networks.

        Raises:
            ValueError: if the file of one is too large.
        """
        for flag, net in (("--student", self.net), ("--original", getattr(self.model, "netOriginal", None))):
            if net is None:
                continue
            params = sum(parameter.numel() for parameter in net.parameters())
            size = params * (2 if self.opt.precision == "fp16" else 4) / 1e6
            if size > MOST_MEGABYTES:
                raise ValueError(f"{flag}: its file has {size:.0f} MB, a browser loads at most "
                                 f"{MOST_MEGABYTES}; --precision fp16 halves it, and --original none "
                                 "leaves the original out")

    def network(self, net: ElasticGenerator) -> PageNetwork:
        """Export the student or the original."""
        size = self.shapes.size
        macs = CostModel.of(net, size).cost(net.full)["macs"]
        return page_network(net, size, self.opt.precision == "fp16", macs)

    def run(self) -> tuple[dict[str, Any], str | None]:
        """Export: compare the network of the page with PyTorch, and write the page.

        Returns:
            The record, which is written next to the folder, and why the page failed; None if it did not. A
            page that failed is kept under another name, and leaves an earlier page unchanged.
        """
        opt = self.opt
        student = self.network(self.net)
        original = getattr(self.model, "netOriginal", None)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            path.write_bytes(student.onnx)
            session = open_session(path, "onnxruntime", opt.threads)
            comparison = compare(self.net, session, self.items, self.interface)
            latency = latencies(self.net, session, self.items[0], self.interface)
        failure = comparison.failure(opt.precision, "signed", opt.min_psnr)
        target = self.path if failure is None else failed(self.path)
        measure, bound = TOLERANCES[opt.precision] if opt.min_psnr is None else ("psnr", opt.min_psnr)
        record = {"file": target.name, "bytes": len(student.onnx), "torch_bytes": 4 * student.params,
                  "passed": failure is None, "failure": failure, "tolerance": {measure: bound},
                  "comparison": {**comparison.measurements(), "source": self.compared.source,
                                 "scaled": self.scaled},
                  "latency": latency, "runtime": session.runtime, "page": self.page_input.kind,
                  "metadata": self.metadata()}
        write_page(target, opt.title or opt.name, self.shapes.size, self.page_input, self.samples, student,
                   original and self.network(original.cpu().eval()), self.runtime)
        write_json(self.record_path(target), record)
        return record, failure

    def hint(self) -> str:
        """Explain how to open the page."""
        folder = printable(self.path)
        runtime = "" if self.runtime else f"add the runtime: python scripts/fetch_runtime.py {folder}\n"
        return (f"{runtime}open in a browser: {folder}/index.html\n"
                f"from a phone, or with several threads: python {folder}/serve.py")


def samples_of(items: Sequence[Tensor], names: Sequence[str], net: ElasticGenerator) -> list[Sample]:
    """Convert inputs of a data set to the samples of a page.

    Args:
        items: (1, C, H, W) images in [-1, 1], or maps of ids.
        names: their names.
        net: the generator.
    """
    return [Sample(name, _pixels(item, net)) for item, name in zip(items, names, strict=True)]


def _pixels(item: Tensor, net: ElasticGenerator) -> np.ndarray:
    """Return an item as uint8 RGB, or as ids."""
    if not item.is_floating_point():
        return item[0].permute(1, 2, 0).numpy()
    if colorizes(net.config["input_nc"], net.config["output_nc"]):
        item = colorize(item, torch.zeros_like(item).repeat(1, 2, 1, 1))
    pixels = ((item[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels

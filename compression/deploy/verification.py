"""Comparison of an exported file, opened in its runtime, with PyTorch."""
from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..elastic.generator import ElasticGenerator
from ..runtime.images import run_padded
from ..runtime.modes import eval_mode
from .interface import Interface
from .runtimes import Session, latency_ms, open_network

_STEP = 2 / 255  # of 8-bit values, on the scale from -1 to 1
# precision -> name of a measurement and its bound: the largest error of a value, on the scale from -1 to 1,
# or the smallest PSNR of an image in dB
TOLERANCES: dict[str, tuple[str, float]] = {
    "fp32": ("max_error", 1e-3), "fp16": ("psnr", 45.0), "bf16": ("psnr", 35.0), "int8": ("psnr", 30.0)}
EQUAL = 150.0  # PSNR of equal images, in dB


@dataclass
class Comparison:
    """Differences between the images of an exported file and those of PyTorch, on the scale from -1 to 1.

    Attributes:
        images: number of images.
        max_error: largest difference of a value.
        mean_error: mean difference.
        psnr: lowest PSNR of an image in dB, with a peak of 2 (``EQUAL`` for equal images).
        mean_psnr: mean of the PSNRs of the images.
    """

    images: int = 0
    max_error: float = 0.0
    mean_error: float = 0.0
    psnr: float = EQUAL
    mean_psnr: float = 0.0

    def update(self, image: Tensor, expected: Tensor) -> None:
        """Add images (N, C, H, W) of the file, and those of PyTorch."""
        if image.shape != expected.shape:
            raise ValueError(f"the exported file gives images of {tuple(image.shape)}, PyTorch of "
                             f"{tuple(expected.shape)}")
        for ours, theirs in zip(image.double(), expected.double(), strict=True):
            difference = (ours - theirs).abs().nan_to_num(math.inf)
            mean_square = float(difference.square().mean())
            psnr = min(EQUAL, -10 * math.log10(mean_square / 4)) if mean_square else EQUAL
            self.max_error = max(self.max_error, float(difference.max()))
            self.psnr = min(self.psnr, psnr)
            self.mean_error += (float(difference.mean()) - self.mean_error) / (self.images + 1)
            self.mean_psnr += (psnr - self.mean_psnr) / (self.images + 1)
            self.images += 1

    def measurements(self) -> dict[str, float | str]:
        """Return the measurements as plain data, JSON-able: infinity as a text."""
        return {name: value if math.isfinite(value) else str(value) for name, value in vars(self).items()}

    def failure(self, precision: str, output_values: str, min_psnr: float | None = None) -> str | None:
        """Explain by how much the differences exceed what is tolerated; None if they do not.

        Args:
            precision: that of the file, see ``TOLERANCES``.
            output_values: those of the file; ``uint8`` adds half a step of 8 bits.
            min_psnr: replaces the tolerance of the precision, in dB.
        """
        measure, bound = TOLERANCES[precision] if min_psnr is None else ("psnr", min_psnr)
        if measure == "psnr":
            if self.psnr >= bound:
                return None
            return (f"the PSNR to PyTorch is {self.psnr:.1f} dB on the worst image, "
                    f"{bound - self.psnr:.1f} dB below the {bound:g} dB that {precision} must reach")
        bound += _STEP / 2 if output_values == "uint8" else 0
        if self.max_error <= bound:
            return None
        return (f"a value differs from PyTorch's by {self.max_error:.2g} (of -1 to 1), "
                f"{self.max_error / bound:.1f} times the {bound:.2g} that {precision} tolerates")


@torch.no_grad()
def reference(net: ElasticGenerator, item: Tensor, interface: Interface) -> Tensor:
    """Compute the images of PyTorch, in eval mode and fp32, for an item of a data set.

    Args:
        net: the generator, not rewritten.
        item: see :meth:`Interface.arrays`.
        interface: that of the file. Values that it rounds are rounded here, too.
    """
    if not interface.classes and interface.input_values == "uint8":
        item = torch.from_numpy(interface.arrays(item)[0]).float() / 127.5 - 1
    with eval_mode(net):
        return run_padded(net, interface.condition(item)).float()


def compare(net: ElasticGenerator, session: Session, items: Iterable[Tensor], interface: Interface
            ) -> Comparison:
    """Compare an exported file with PyTorch on items of a data set.

    Args:
        net: the generator.
        session: the file.
        items: batches of inputs, see :meth:`Interface.arrays`, of the shapes that the file takes.
        interface: that of the file.
    """
    comparison = Comparison()
    for item in items:
        image = interface.image(session(*interface.arrays(item)))
        comparison.update(image, reference(net, item, interface))
    return comparison


def latencies(net: ElasticGenerator, session: Session, item: Tensor, interface: Interface,
              seconds: float = 1.0) -> dict[str, Any]:
    """Measure the median time of a call of the file and of PyTorch (eager mode), with equally many threads.

    Returns:
        ``latency_ms``, ``torch_ms``, ``threads``, and the batch and the size of the images.
    """
    condition = interface.condition(item)
    eager = open_network(_Padded(net), condition, "torch", session.threads)
    return {"latency_ms": latency_ms(session, *interface.arrays(item), seconds=seconds),
            "torch_ms": latency_ms(eager, condition.numpy(), seconds=seconds),
            "threads": session.threads, "batch": len(item), "size": list(item.shape[-2:])}


class _Padded(nn.Module):
    """A generator that takes images of any size."""

    def __init__(self, net: ElasticGenerator):
        super().__init__()
        self.net = net
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return run_padded(self.net, x)

"""Exported files as generators: from an item of a data set to an image."""
from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.students import INPUT_SETTINGS
from ..runtime.encoding import ImageEncoding, LabelEncoding
from ..runtime.images import pad_to
from .interface import IDS, Interface
from .runtimes import latency_ms, open_session


class ExportedGenerator:
    """An exported file that is open in its runtime, on the CPU.

    Args:
        path: the file, see :func:`open_session`.
        runtime: one of ``RUNTIMES``; None is the first choice for the suffix.
        threads: number of CPU threads; None is that of PyTorch.

    Attributes:
        session: the open file.
        interface: its inputs and its output.
        size: (height, width) of the images that it takes; None if it takes any.

    Raises:
        ValueError: if the file cannot be opened, does not describe its inputs, or takes another number of
            images than one.
    """

    def __init__(self, path: str | Path, runtime: str | None = None, threads: int | None = None):
        self.path = Path(path)
        self.session = open_session(path, runtime, threads)
        try:
            self.interface = Interface.from_metadata(self.session.metadata)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        batch, _, height, width = self.session.inputs[0].shape
        if batch not in (None, 1):
            raise ValueError(f"{path}: takes {batch} images at a time; export again with --batch_size 1 or "
                             "--dynamic_batch")
        self.size = None if height is None or width is None else (height, width)

    @property
    def label(self) -> str:
        """Describe the file in one line: its name, runtime, precision, and threads."""
        precision = self.session.metadata.get("precision", "fp32")
        return f"{self.path.name} ({self.session.runtime}, {precision}, {self.session.threads} threads)"

    def is_of(self, run: str | None) -> bool:
        """Tell whether the file was exported from a run, as far as both are known."""
        own = self.session.metadata.get("run")
        return not own or not run or own == run

    def settings(self) -> dict[str, Any]:
        """Return what the file says about its inputs, by the names of the flags (``INPUT_SETTINGS``)."""
        described = self.session.metadata.get("input") or {}
        settings = {name: described[name] for name in INPUT_SETTINGS if described.get(name) is not None}
        interface = self.interface
        settings |= {"output_nc": interface.output_nc,
                     "label_nc": interface.classes - interface.dontcare,
                     "contain_dontcare_label": interface.dontcare, "no_instance": not interface.instance}
        return settings if interface.classes else settings | {"input_nc": interface.input_nc}

    def check_encoding(self, encoding: ImageEncoding | LabelEncoding) -> None:
        """Check that the file takes the inputs of a data set or a run.

        Raises:
            ValueError: if it takes another kind of images or label maps.
        """
        interface = self.interface
        classes = getattr(encoding, "classes", 0)
        instance = getattr(encoding, "instance", False)
        wanted = _describe(encoding.channels, classes, instance)
        taken = _describe(interface.input_nc, interface.classes, interface.instance)
        if taken != wanted:
            raise ValueError(f"{self.path}: takes {taken}, but the inputs here are {wanted} (--input_nc; or "
                             "--label_nc, --contain_dontcare_label, --no_instance)")

    def mismatch(self, size: tuple[int, int]) -> str | None:
        """Explain why the file does not take images of `size`, (height, width); None if it does."""
        if self.size in (None, size):
            return None
        height, width = self.size or size
        return (f"{self.path} takes images of {height}x{width} (height x width), got {size[0]}x{size[1]}; "
                "the export fixed the size (its flag --dynamic_size does not)")

    @torch.no_grad()
    def __call__(self, item: Tensor) -> Tensor:
        """Translate an item of a data set.

        Where the file neither has a fixed size nor pads images by itself, they are padded to the stride of
        the generator, and the output is cropped, as :func:`compression.translate` does.

        Args:
            item: (1, input_nc, H, W) images in [-1, 1], or label maps: (1, 1 or 2, H, W) integers, class ids
                and, if the generator takes them, instance ids.

        Returns:
            (1, output_nc, H, W) in [-1, 1], float32, on the CPU.

        Raises:
            ValueError: a size that the file does not take.
        """
        height, width = item.shape[-2:]
        reason = self.mismatch((height, width))
        if reason:
            raise ValueError(reason)
        output = self.session(*self.arrays(item))
        return self.interface.image(output)[..., :height, :width].clamp(-1, 1)

    def arrays(self, item: Tensor) -> tuple[np.ndarray, ...]:
        """Convert an item of a data set to the inputs of the session, padded where that is necessary."""
        metadata = self.session.metadata
        if self.size or self.interface.pad or "stride" not in metadata:
            return self.interface.arrays(item)
        stride, smallest = metadata["stride"], metadata.get("min_side", 1)
        height, width = (max(smallest, side + -side % stride) for side in item.shape[-2:])
        if self.interface.input_values == IDS:
            padded = pad_to(item.double(), height, width)
            return self.interface.arrays(padded.to(item.dtype))
        if self.interface.classes:  # edges are marked before the padding
            return (pad_to(self.interface.encoding(item), height, width).numpy(),)
        return self.interface.arrays(pad_to(item, height, width))

    def measure(self, size: tuple[int, int], seconds: float = 1.0) -> dict[str, Any]:
        """Measure the latency for one image.

        Args:
            size: (height, width) of the image.
            seconds: duration of the measurement.

        Returns:
            ``latency_ms``, ``threads``, and what the file says about itself: ``runtime``, ``precision``, and,
            if it is known, its cost.
        """
        generator = torch.Generator().manual_seed(0)
        if self.interface.classes:
            shape = (1, 1 + self.interface.instance, *size)
            item = torch.randint(self.interface.classes, shape, generator=generator)
        else:
            item = torch.rand(1, self.interface.input_nc, *size, generator=generator) * 2 - 1
        metadata = self.session.metadata
        return {**{name: metadata[name] for name in ("macs", "macs_exact", "params") if name in metadata},
                "latency_ms": latency_ms(self.session, *self.arrays(item), seconds=seconds),
                "threads": self.session.threads, "runtime": self.session.runtime,
                "precision": metadata.get("precision", "fp32"), "file": self.path.name}


@lru_cache(maxsize=1)
def open_exported(path: str, runtime: str | None = None, threads: int | None = None) -> ExportedGenerator:
    """Open an exported file, or return it if it is open already; see :class:`ExportedGenerator`."""
    return ExportedGenerator(path, runtime, threads)


def _describe(channels: int, classes: int, instance: bool) -> str:
    """Describe the inputs of a generator."""
    if not classes:
        return f"images of {channels} channels"
    return f"label maps of {classes} classes {'with' if instance else 'without'} instance maps"

"""An exported file, or a network, that is open in a runtime."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class InputSpec(NamedTuple):
    """An input of an exported file; None stands for a length that is not fixed."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype


class Session:
    """An exported file, or a network, that is open in a runtime. Call it with one array for each input.

    Attributes:
        runtime: one of ``RUNTIMES``.
        threads: number of CPU threads.
        metadata: what the file says about itself; empty for a network.
        inputs: the inputs, as :class:`InputSpec`.
        name: name of the file or the network, for messages.
    """

    def __init__(self, run: Callable[..., np.ndarray], runtime: str, threads: int,
                 inputs: Sequence[InputSpec], metadata: Mapping[str, Any] | None = None,
                 name: str = "the network"):
        self._run = run
        self.runtime = runtime
        self.threads = threads
        self.inputs = tuple(inputs)
        self.metadata = dict(metadata or {})
        self.name = name

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Translate images.

        Args:
            inputs: one array for each of ``inputs``, such as (N, C, H, W) float32 images in [-1, 1]; of the
                shapes and types that the file was exported with.

        Returns:
            (N, C, H, W), such as float32 in [-1, 1].

        Raises:
            ValueError: if the number, a shape, or a type of the arrays is not that of the file.
        """
        self.check(*inputs)
        try:
            return self._run(*inputs)
        except (ValueError, MemoryError):
            raise
        except Exception as error:  # each runtime has types of its own
            shapes = ", ".join(_describe(array.shape) for array in inputs)
            raise ValueError(f"{self.name} cannot be run in {self.runtime} on inputs of {shapes} "
                             f"({one_line(error)})") from error

    def check(self, *inputs: np.ndarray) -> None:
        """Raise a ValueError unless the arrays have the shapes and types that the file takes."""
        if len(inputs) != len(self.inputs):
            names = ", ".join(spec.name for spec in self.inputs)
            raise ValueError(f"{self.name} takes {len(self.inputs)} inputs ({names}), got {len(inputs)}")
        for array, spec in zip(inputs, self.inputs, strict=True):
            fits = array.ndim == len(spec.shape) and all(
                length in (None, side) for side, length in zip(array.shape, spec.shape, strict=True))
            if not fits or array.dtype != spec.dtype:
                raise ValueError(self._mismatch(array, spec))
        stride, smallest = self.metadata.get("stride", 1), self.metadata.get("min_side", 1)
        pads = self.metadata.get("interface", {}).get("pad")
        sides = inputs[0].shape[2:]
        if not pads and any(side % stride or side < smallest for side in sides):
            raise ValueError(f"{self.name} takes sides that are multiples of {stride} and at least {smallest}"
                             f", got {_describe(sides)} (HxW); scale the image, or export again with --pad")

    def _mismatch(self, array: np.ndarray, spec: InputSpec) -> str:
        """Explain how an array differs from what an input takes."""
        message = (f"{self.name} takes an input '{spec.name}' of {_describe(spec.shape)} {spec.dtype}, "
                   f"got {_describe(array.shape)} {array.dtype}")
        if array.ndim == len(spec.shape) == 4 and array.dtype == spec.dtype:
            if spec.shape[0] not in (None, array.shape[0]):
                message += "; the batch size was fixed by the export: --batch_size, or --dynamic_batch"
            elif any(length not in (None, side)
                     for side, length in zip(array.shape[2:], spec.shape[2:], strict=True)):
                message += ("; the size was fixed by the export: scale the image, or export again with "
                            "--size HxW or --dynamic_size")
        return message


def _describe(shape: Sequence[int | None]) -> str:
    """Describe a shape: 1x3x256x256, with ? for lengths that are not fixed."""
    return "x".join("?" if length is None else str(length) for length in shape)


def one_line(error: Exception) -> str:
    """Return the beginning of the message of an error as one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__

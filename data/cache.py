"""Decoded images that a data set keeps in memory (``--cache``)."""
from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from compression.runtime import distributed
from util.memory import free_memory

T = TypeVar("T", Image.Image, np.ndarray)
MODES = ("auto", "on", "off")
_SHARES = {"auto": 0.25, "on": 0.8, "off": 0.0}  # of the free memory
_UNKNOWN = 2 ** 30  # bytes that count as free where the system does not report them


def loading_processes(opt):
    """Return the number of processes that load the images of a data set, at most one for each thread."""
    return min(int(getattr(opt, "num_threads", 0)), torch.get_num_threads())


def caching_processes(opt):
    """Return the number of processes on this machine that keep images of a data set."""
    return max(1, loading_processes(opt)) * distributed.local_world_size()


class Budget:
    """The bytes that all caches of a process may still use.

    Args:
        mode: ``auto``: a quarter of the memory that is free at the start; ``on``: all images, and an error if
            they do not fit into most of it; ``off``: nothing.
        processes: number of processes that keep images of their own, each an equal part of the budget.
    """

    def __init__(self, mode: str, processes: int = 1):
        free = free_memory(torch.device("cpu"))
        free = _UNKNOWN if free is None else free
        self.mode = mode
        self.bytes = int(_SHARES[mode] * free) // processes

    def reserve(self, size: int) -> bool:
        """Reserve bytes; returns whether they are left.

        Raises:
            ValueError: if they are not, with the mode ``on``.
        """
        if size <= self.bytes:
            self.bytes -= size
            return True
        if self.mode == "on":
            raise ValueError("--cache on: the decoded images need more memory than is free; use --cache "
                             "auto, fewer --num_threads (each process that loads images keeps its own), or a "
                             "smaller --load_size")
        return False


class ImageCache:
    """Images by key, which are computed once as far as the budget reaches.

    The images must not be changed.
    """

    def __init__(self, budget: Budget):
        self.budget = budget
        self._images: dict[Hashable, Image.Image | np.ndarray] = {}

    def get(self, key: Hashable, load: Callable[[], T]) -> T:
        """Return the image of a key, by `load` if it is not kept."""
        if key in self._images:
            return self._images[key]  # type: ignore[return-value]
        image = load()
        if self.budget.reserve(size_of(image)):
            self._images[key] = image
        return image

    def __len__(self) -> int:
        """The number of images that are kept."""
        return len(self._images)


def size_of(image: Image.Image | np.ndarray) -> int:
    """Return the bytes of the pixels of an image."""
    if isinstance(image, np.ndarray):
        return image.nbytes
    return image.width * image.height * len(image.getbands()) * (4 if image.mode in ("I", "F") else 1)

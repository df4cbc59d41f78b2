"""Translate single images: one call from pixels to pixels, whatever runs the generator."""
from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import Namespace
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compression import encode_input, to_tensor
from compression.deploy.exported import ExportedGenerator, open_exported
from compression.runtime.lab import colorizes, displayed, split_lab

from .util import tensor2im


def resized(opt: Namespace, image: Image.Image) -> Image.Image:
    """Scale an image to ``--input_size``, if it is given."""
    if not opt.input_size:
        return image
    height, width = opt.input_size
    return image.resize((width, height), Image.Resampling.BICUBIC)


def resized_maps(opt: Namespace, maps: np.ndarray) -> np.ndarray:
    """Scale maps of ids (N, H, W) to ``--input_size``, if it is given, by nearest neighbors."""
    if not opt.input_size:
        return maps
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(np.int64)
                     for new, old in zip(opt.input_size, maps.shape[1:], strict=True))
    return maps[:, rows[:, None], columns]


class Translator(ABC):
    """Translates photos and label maps.

    Attributes:
        seconds: time that the generator took for the last image, without conversions of pixels.
    """

    seconds = 0.0

    @abstractmethod
    def photo(self, image: Image.Image) -> np.ndarray:
        """Translate an RGB image to (H, W, 3) uint8."""

    @abstractmethod
    def label_map(self, maps: np.ndarray) -> np.ndarray:
        """Translate class ids and, if the generator takes them, instance ids (1 or 2, H, W) to an image."""


class ModelTranslator(Translator):
    """Translates with the generator of a model, on its device."""

    def __init__(self, model):
        self.model = model

    def photo(self, image: Image.Image) -> np.ndarray:
        """Translate an RGB image to (H, W, 3) uint8."""
        return self._run(encode_input(self.model.netG, image))

    def label_map(self, maps: np.ndarray) -> np.ndarray:
        """Translate class ids and, if the generator takes them, instance ids (1 or 2, H, W) to an image."""
        return self._run(self.model.encoding(torch.from_numpy(maps)[None]))

    def _run(self, condition: Tensor) -> np.ndarray:
        start = perf_counter()
        image = self.model.translate(condition)
        if image.is_cuda:
            torch.cuda.synchronize(image.device)
        self.seconds = perf_counter() - start
        return tensor2im(image)


class ExportedTranslator(Translator):
    """Translates with an exported file, on the CPU."""

    def __init__(self, file: ExportedGenerator):
        self.file = file

    def photo(self, image: Image.Image) -> np.ndarray:
        """Translate an RGB image to (H, W, 3) uint8."""
        interface = self.file.interface
        if colorizes(interface.input_nc, interface.output_nc):
            return self._run(split_lab(to_tensor(image))[0])
        return self._run(to_tensor(image, interface.input_nc))

    def label_map(self, maps: np.ndarray) -> np.ndarray:
        """Translate class ids and, if the generator takes them, instance ids (1 or 2, H, W) to an image."""
        return self._run(torch.from_numpy(maps)[None])

    def _run(self, item: Tensor) -> np.ndarray:
        start = perf_counter()
        image = self.file(item)
        self.seconds = perf_counter() - start
        return tensor2im(displayed(item, image))


def size_problem(opt: Namespace, size: tuple[int, int]) -> str | None:
    """Explain why the file of ``--exported`` does not take an image of --input; None if it does.

    Args:
        opt: parsed options.
        size: (height, width) of the image, before ``--input_size``.
    """
    if not opt.exported:
        return None
    file = open_exported(opt.exported, opt.runtime, opt.threads)
    reason = file.mismatch(tuple(opt.input_size or size))
    if not reason:
        return None
    height, width = file.size
    return f"{reason}; --input_size {height}x{width} scales the images"

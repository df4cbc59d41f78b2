"""Small helpers: convert and save images, append to logs."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from compression import atomic_file, to_image


def tensor2im(image: Tensor) -> np.ndarray:
    """Convert the first image of a batch (N, C, H, W) in [-1, 1] to (H, W, 3) uint8; gray becomes RGB."""
    return np.asarray(to_image(image[:1]).convert("RGB"))


def save_image(array: np.ndarray, path: str | os.PathLike, aspect_ratio: float = 1.0) -> None:
    """Save an (H, W, 3) uint8 array as an image file, atomically.

    Args:
        array: the image.
        path: the file; its suffix gives the format.
        aspect_ratio: above 1 the width is multiplied by it, below 1 the height is divided by it.
    """
    image = Image.fromarray(array)
    width, height = image.size
    if aspect_ratio > 1.0:
        image = image.resize((round(width * aspect_ratio), height), Image.Resampling.BICUBIC)
    elif aspect_ratio < 1.0:
        image = image.resize((width, round(height / aspect_ratio)), Image.Resampling.BICUBIC)
    with atomic_file(path, durable=False) as file:
        image.save(file, Image.registered_extensions()[Path(path).suffix.lower()])


def append_text(path: str | os.PathLike, text: str) -> None:
    """Append text to a file as UTF-8, completely or not at all.

    Raises:
        OSError: if the file cannot be written; the message names it.
    """
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    try:
        with open(path, "ab") as file:
            file.write(text.encode())
    except OSError as error:
        if os.path.isfile(path) and os.path.getsize(path) > size:
            os.truncate(path, size)
        raise type(error)(f"{path}: cannot be written ({error.strerror})") from error

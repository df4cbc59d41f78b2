"""Small helpers: images and logs."""
import os
from pathlib import Path

import numpy as np
from PIL import Image

from compression import atomic_file, to_image


def tensor2im(image):
    """(N, C, H, W) in [-1, 1], the first of the batch -> (H, W, 3) uint8; gray is repeated to three channels."""
    return np.asarray(to_image(image[:1]).convert("RGB"))


def save_image(array, path, aspect_ratio=1.0):
    """Write (H, W, 3) uint8 as an image, whole or not at all; `aspect_ratio` above 1 widens it, below 1 heightens it."""
    image = Image.fromarray(array)
    width, height = image.size
    if aspect_ratio > 1.0:
        image = image.resize((round(width * aspect_ratio), height), Image.BICUBIC)
    elif aspect_ratio < 1.0:
        image = image.resize((width, round(height / aspect_ratio)), Image.BICUBIC)
    with atomic_file(path, durable=False) as file:
        image.save(file, Image.registered_extensions()[Path(path).suffix.lower()])


def append_text(path, text):
    """Append text as UTF-8, whole or not at all.

    Raises:
        OSError: if it cannot be written; the message names the file.
    """
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    try:
        with open(path, "ab") as file:
            file.write(text.encode())
    except OSError as error:
        if os.path.isfile(path) and os.path.getsize(path) > size:
            os.truncate(path, size)
        raise type(error)(f"{path}: cannot be written ({error.strerror})") from error

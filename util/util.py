"""Small helpers: images and logs."""
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from compression import atomic_file


def tensor2im(image):
    """(N, C, H, W) in [-1, 1], the first of the batch -> (H, W, 3) uint8; gray is repeated to three channels."""
    array = image[0].detach().float().clamp(-1, 1).cpu().numpy()
    if array.shape[0] == 1:
        array = np.repeat(array, 3, axis=0)
    return np.round((array.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)


def image2tensor(image, channels):
    """A PIL image -> (channels, H, W) in [-1, 1]; one channel is gray, three are RGB."""
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=np.float32)
    array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.from_numpy(array / 127.5 - 1)


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

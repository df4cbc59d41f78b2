"""Images and folders."""

import os

import numpy as np
import torch
from PIL import Image


def tensor2im(input_image, imtype=np.uint8):
    """The first image of a batch in [-1, 1] -> (H, W, 3) in 0..255; arrays are taken as they are."""
    if not isinstance(input_image, torch.Tensor):
        return input_image.astype(imtype)
    pixels = input_image.data[0].cpu().float().numpy()
    pixels = np.tile(pixels, (3, 1, 1)) if pixels.shape[0] == 1 else pixels
    return ((pixels.transpose(1, 2, 0) + 1) / 2.0 * 255.0).astype(imtype)


def save_image(image_numpy, image_path, aspect_ratio=1.0):
    """Write an image; ratios other than 1 stretch it."""
    image, (height, width, _) = Image.fromarray(image_numpy), image_numpy.shape
    if aspect_ratio > 1.0:
        image = image.resize((height, int(width * aspect_ratio)), Image.BICUBIC)
    elif aspect_ratio < 1.0:
        image = image.resize((int(height / aspect_ratio), width), Image.BICUBIC)
    image.save(image_path)


def mkdirs(paths):
    """Make one folder or several."""
    for path in paths if isinstance(paths, list) else [paths]:
        mkdir(path)


def mkdir(path):
    """Make a folder unless it is there."""
    os.makedirs(path, exist_ok=True)

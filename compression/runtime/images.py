"""From image files to what a generator takes, and back: what to do before and after calling a student."""
from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from .encoding import LabelEncoding
from .modes import eval_mode

UNKNOWN = 255  # of a label map: the class after the last, where there is one for unknown


def to_rgb(image: Image.Image) -> Image.Image:
    """A PIL image of any mode -> 8-bit RGB: 16-bit gray is scaled, what is transparent lies on white.

    Raises:
        ValueError: for floating-point and 32-bit pixels, whose range is unknown.
    """
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"pixels from {values.min()} to {values.max()}, wanted 8 or 16 bits")
        image = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels, wanted 8 or 16 bits")
    if is_transparent(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def is_transparent(image: Image.Image) -> bool:
    """Whether a PIL image has an alpha channel or a transparent color."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def to_tensor(image: Image.Image | np.ndarray, channels: int = 3) -> Tensor:
    """An image -> (1, channels, H, W) in [-1, 1], float32.

    Args:
        image: a PIL image of any mode, or uint8 (H, W) or (H, W, C).
        channels: of the generator's input, ``net.config["input_nc"]``: 1 is gray, 3 are RGB. An array of just as many
            channels is taken as it is, whatever they mean.

    Raises:
        ValueError: for an array of another type or shape, or a number of channels that the image cannot have.
    """
    if not isinstance(image, Image.Image):
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise ValueError(f"an image is uint8 of shape (H, W) or (H, W, C), got {image.dtype} of shape {image.shape}")
        array = image[..., None] if image.ndim == 2 else image
        if array.shape[2] == channels:
            return _scaled(array)
        if array.shape[2] not in (1, 3):
            raise ValueError(f"wanted {channels} channels, 1 (gray) or 3 (RGB), got {array.shape[2]}")
        image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    if channels not in (1, 3):
        raise ValueError(f"an image has 1 channel (gray) or 3 (RGB), the generator takes {channels}; label maps go through "
                         "encode_labels")
    rgb = image if image.mode == "L" and not is_transparent(image) else to_rgb(image)
    array = np.asarray(rgb.convert("L" if channels == 1 else "RGB"))
    return _scaled(array.reshape(*array.shape[:2], channels))


def to_image(image: Tensor) -> Image.Image:
    """(1, C, H, W) or (C, H, W) in [-1, 1], of 1 or 3 channels -> a PIL image, gray or RGB.

    Values are clipped to [-1, 1] and rounded; the exact inverse of :func:`to_tensor`.

    Raises:
        ValueError: for another shape.
    """
    if image.dim() == 4 and len(image) == 1:
        image = image[0]
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"one image has the shape (1, C, H, W) or (C, H, W) with 1 or 3 channels, got {tuple(image.shape)}")
    array = ((image.detach().float().clamp(-1, 1).cpu() + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def encode_labels(labels: Image.Image | np.ndarray, label_nc: int, instances: Image.Image | np.ndarray | None = None,
                  dontcare: bool = False) -> Tensor:
    """A label map -> what a generator of label maps takes, (1, C, H, W) of 0 and 1: a channel a class, and edges.

    Args:
        labels: class ids, (H, W) whole numbers or such an image (mode L or P), 0 to label_nc - 1.
        label_nc: number of classes (``--label_nc``).
        instances: instance ids of the same size; None for a generator without them (``--no_instance``).
        dontcare: the generator has a class for unknown (``--contain_dontcare_label``): ids label_nc and 255.

    Raises:
        ValueError: for ids out of range, colors instead of ids, or maps of two sizes.
    """
    encoding = LabelEncoding(label_nc, dontcare, instances is not None)
    maps = [np.asarray(one) for one in (labels, instances) if one is not None]
    for ids in maps:
        if ids.ndim != 2 or ids.dtype.kind not in "iub":
            raise ValueError(f"a map of ids is (H, W) of whole numbers, got {ids.dtype} of shape {ids.shape}"
                             + (" (colors instead of ids?)" if ids.ndim == 3 else ""))
        if ids.shape != maps[0].shape:
            raise ValueError(f"the label map is {maps[0].shape}, the instance map {ids.shape} (H, W)")
    maps = [ids.astype(np.int64) for ids in maps]
    if dontcare:
        maps[0] = np.where(maps[0] == UNKNOWN, label_nc, maps[0])
    found = [int(maps[0].min()), int(maps[0].max())]
    if found[0] < 0 or found[1] >= encoding.classes:
        raise ValueError(f"class ids from {found[0]} to {found[1]}, label_nc {label_nc} allows 0 to {encoding.classes - 1}"
                         + ("" if dontcare else "; with dontcare=True 255 is read as unknown"))
    return encoding(torch.from_numpy(np.stack(maps))[None])


@torch.no_grad()
def translate(net: nn.Module, image: Tensor) -> Tensor:
    """Images of any size through a generator, in eval mode.

    They are padded by reflection at the right and bottom to the multiples of ``net.stride`` that the generator takes (by
    repeating the edge where that is more than the image has), and what comes out is cropped back.

    Args:
        net: a generator of this project, on any device.
        image: (N, input_nc, H, W), floating-point, images in [-1, 1] or what :func:`encode_labels` gives.

    Returns:
        (N, output_nc, H, W) in [-1, 1], float32, on the generator's device.

    Raises:
        ValueError: if it is no such tensor.
    """
    channels = net.config["input_nc"]
    if image.dim() != 4 or image.shape[1] != channels or not image.is_floating_point() or not image.numel():
        raise ValueError(f"the generator takes floating-point images of shape (N, {channels}, H, W), got {image.dtype} of "
                         f"shape {tuple(image.shape)}")
    height, width = image.shape[-2:]
    least = net.min_strides * net.stride
    bottom, right = (max(least, side + -side % net.stride) - side for side in (height, width))
    mode = "reflect" if bottom < height and right < width else "replicate"
    image = image.to(next(net.parameters()).device)
    with eval_mode(net):
        return net(F.pad(image, (0, right, 0, bottom), mode)).float()[..., :height, :width]


def _scaled(array: np.ndarray) -> Tensor:
    """uint8 (H, W, C) -> (1, C, H, W) in [-1, 1]."""
    return torch.from_numpy(array.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)[None]

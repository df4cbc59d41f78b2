"""Conversion of images and label maps to generator inputs and back, and inference on images of any size."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from .encoding import LabelEncoding
from .lab import colorizes, split_lab
from .modes import eval_mode

if TYPE_CHECKING:
    from ..elastic.generator import ElasticGenerator

UNKNOWN = 255  # id of unlabeled pixels in label maps, as in Cityscapes


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a PIL image of any mode to 8-bit RGB.

    16-bit gray is scaled to 8 bits. Transparent images are composited onto white.

    Raises:
        ValueError: floating-point or 32-bit pixels, whose value range is unknown.
    """
    check_range(image)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.uint32)  # in place from here on: images may be large
        values *= 255
        values += 32767
        values //= 65535
        image = Image.fromarray(values.astype(np.uint8))
    if is_transparent(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def check_range(image: Image.Image) -> None:
    """Raise a ValueError if the range of an image's values is unknown: more than 16 bits, or fractions."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, expected 8 or 16 bits")
    if image.mode == "I":
        extrema: Any = image.getextrema()
        smallest, largest = extrema
        if smallest < 0 or largest > 65535:
            raise ValueError(f"pixel values from {smallest} to {largest}, expected 8 or 16 bits")


def is_transparent(image: Image.Image) -> bool:
    """Return whether a PIL image has an alpha channel or a transparent color."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def to_tensor(image: Image.Image | np.ndarray, channels: int = 3) -> Tensor:
    """Convert an image to a generator input.

    Args:
        image: a PIL image of any mode, or a uint8 array (H, W) or (H, W, C).
        channels: channels of the generator input, ``net.config["input_nc"]``; 1 is gray, 3 is RGB. An array
            with this number of channels is used as is, whatever they mean.

    Returns:
        (1, channels, H, W) in [-1, 1], float32.

    Raises:
        ValueError: an array of another type or shape, or a number of channels to which the image cannot be
            converted.
    """
    if not isinstance(image, Image.Image):
        array = np.asarray(image)
        if array.dtype != np.uint8 or array.ndim not in (2, 3):
            raise ValueError("an image must be uint8 of shape (H, W) or (H, W, C), "
                             f"got {array.dtype} of shape {array.shape}")
        if array.ndim == 2:
            array = array[..., None]
        if array.shape[2] == channels:
            return _scale(array)
        if array.shape[2] not in (1, 3):
            raise ValueError(f"an image for {channels} channels must have {channels}, 1 (gray) or 3 (RGB) "
                             f"channels, got {array.shape[2]}")
        image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    if channels not in (1, 3):
        raise ValueError(f"an image has 1 channel (gray) or 3 (RGB), the generator takes {channels}; "
                         "convert label maps with encode_labels")
    if image.mode != "L" or is_transparent(image):
        image = to_rgb(image)
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return _scale(array.reshape(*array.shape[:2], channels))


def to_image(image: Tensor) -> Image.Image:
    """Convert one image tensor to a PIL image, gray or RGB: the exact inverse of :func:`to_tensor`.

    Args:
        image: (1, C, H, W) or (C, H, W) with 1 or 3 channels, clipped to [-1, 1] and rounded to 8 bits.

    Raises:
        ValueError: another shape.
    """
    if image.dim() == 4 and len(image) == 1:
        image = image[0]
    if image.dim() == 3 and image.shape[0] == 2:
        raise ValueError("these are the colors of colorization; colorize(input, output) converts them to RGB")
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        raise ValueError("one image has the shape (1, C, H, W) or (C, H, W) with 1 or 3 channels, "
                         f"got {tuple(image.shape)}")
    pixels = ((image.detach().float().clamp(-1, 1).cpu() + 1) * 127.5).round().to(torch.uint8)
    array = pixels.permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def encode_labels(labels: Image.Image | np.ndarray, label_nc: int,
                  instances: Image.Image | np.ndarray | None = None, dontcare: bool = False) -> Tensor:
    """Encode a label map as a generator input with one channel per class, and one for the edges of instances.

    Args:
        labels: class ids from 0 to label_nc - 1, an integer array (H, W) or an image of mode L or P.
        label_nc: number of classes (``--label_nc``).
        instances: instance ids of the same size; None for a generator without them (``--no_instance``).
        dontcare: whether the generator has a class "unknown" (``--contain_dontcare_label``); its ids are
            label_nc and 255.

    Returns:
        (1, C, H, W) of 0 and 1, float32.

    Raises:
        ValueError: ids out of range, colors instead of ids, or maps of different sizes.
    """
    encoding = LabelEncoding(label_nc, dontcare, instances is not None)
    ids = _as_ids(labels)
    if dontcare:
        ids = np.where(ids == UNKNOWN, label_nc, ids)
    maps = [ids]
    if instances is not None:
        maps.append(_as_ids(instances))
        if maps[1].shape != ids.shape:
            raise ValueError(f"the label map is {ids.shape}, the instance map {maps[1].shape} (H, W)")
    smallest, largest = int(ids.min()), int(ids.max())
    if smallest < 0 or largest >= encoding.classes:
        hint = "" if dontcare else "; with dontcare=True, 255 means unknown"
        raise ValueError(f"class ids from {smallest} to {largest}, label_nc {label_nc} allows 0 to "
                         f"{encoding.classes - 1}{hint}")
    return encoding(torch.from_numpy(np.stack(maps))[None])


def encode_input(net: ElasticGenerator, image: Image.Image | np.ndarray,
                 instances: Image.Image | np.ndarray | None = None) -> Tensor:
    """Convert a photo or a label map to the input of a student, whose file describes its inputs.

    Args:
        net: a network from :func:`compression.load_student`, or an original that takes images.
        image: a photo of any mode, see :func:`to_tensor`, or a map of class ids, see :func:`encode_labels`.
        instances: the instance ids of a label map, if the student takes them.

    Returns:
        (1, input_nc, H, W), float32.

    Raises:
        ValueError: an image that does not fit the network, or a network whose inputs are not described.
    """
    channels = net.config["input_nc"]
    described = getattr(net, "meta", {}).get("input") or {}
    label_nc = described.get("label_nc", 0)
    if not label_nc:
        if channels not in (1, 3):
            raise ValueError(f"the file of this network does not describe its {channels} input channels; use "
                             "encode_labels(labels, label_nc, instances, dontcare)")
        if colorizes(channels, net.config.get("output_nc", 3)):
            return split_lab(to_tensor(image))[0]
        return to_tensor(image, channels)
    if described.get("no_instance", False) != (instances is None):
        raise ValueError("this student takes a label map and " +
                         ("no instance map" if instances is not None else "an instance map of the same size"))
    return encode_labels(image, label_nc, instances, described.get("contain_dontcare_label", False))


def padded_size(net: ElasticGenerator, size: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest (height, width) that the generator takes and that holds an image of `size`."""
    min_side = net.min_strides * net.stride
    height, width = (max(min_side, side + -side % net.stride) for side in size)
    return height, width


def pad(net: ElasticGenerator, image: Tensor) -> Tensor:
    """Pad images at the right and at the bottom to a size that the generator takes.

    The padding is the reflected image or, where it exceeds the image, the repeated edge.

    Args:
        net: the generator.
        image: (N, C, H, W).

    Returns:
        (N, C, *padded_size); `image` itself if its size fits.
    """
    height, width = image.shape[-2:]
    return pad_to(image, *padded_size(net, (height, width)))


def pad_to(image: Tensor, padded_height: int, padded_width: int) -> Tensor:
    """Pad floating-point images (N, C, H, W) to a size as :func:`pad` does."""
    height, width = image.shape[-2:]
    bottom, right = padded_height - height, padded_width - width
    if not bottom and not right:
        return image
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(image, (0, right, 0, bottom), mode)


def run_padded(net: ElasticGenerator, image: Tensor, *arguments) -> Tensor:
    """Run a generator on images of any size (N, C, H, W): :func:`pad` them, and crop the output to H x W."""
    height, width = image.shape[-2:]
    return net(pad(net, image), *arguments)[..., :height, :width]


@torch.no_grad()
def translate(net: ElasticGenerator, image: Tensor) -> Tensor:
    """Translate images of any size in eval mode.

    The images are padded to a size that the generator takes (:func:`pad`), and the output is cropped to the
    input size.

    Args:
        net: a generator of this project, on any device.
        image: (N, input_nc, H, W), floating-point: images in [-1, 1] or the output of :func:`encode_labels`.

    Returns:
        (N, output_nc, H, W) in [-1, 1], float32, on the generator's device.

    Raises:
        ValueError: another shape or type.
    """
    channels = net.config["input_nc"]
    has_shape = image.dim() == 4 and image.shape[1] == channels and image.numel() > 0
    if not has_shape or not image.is_floating_point():
        raise ValueError(f"the generator takes floating-point images of shape (N, {channels}, H, W), "
                         f"got {image.dtype} of shape {tuple(image.shape)}")
    image = image.to(next(net.parameters()).device)
    with eval_mode(net):
        return run_padded(net, image).float()


def check_lossless(image: Image.Image) -> None:
    """Raise a ValueError if a map of ids was read from a file with JPEG compression."""
    if image.format == "JPEG" or image.info.get("compression") == "jpeg":
        raise ValueError("JPEG compression changes the ids of a map; write label maps and instance maps as "
                         "PNG, from the original ids")


def stored_maximum(image: Image.Image) -> int | None:
    """Return the largest value that a file can hold, if Pillow scales its gray values to 8 or 16 bits.

    It does so for PNG and TIFF files of 2 or 4 bits, and for PGM files.

    Args:
        image: an image that has not been decoded yet; the information is lost afterwards.

    Returns:
        The value, which becomes 255 (or 65535); None if values are not scaled, or unknown if `image` has been
        decoded.
    """
    tiles = getattr(image, "tile", None)
    if not tiles or image.mode not in ("L", "I"):
        return None
    codec, arguments = tiles[0][0], tiles[0][3]
    if codec in ("ppm", "ppm_plain"):
        return int(arguments[-1])
    raw_mode = arguments if isinstance(arguments, str) else arguments[0]
    return {"L;2": 3, "L;4": 15}.get(raw_mode)


def unscaled(values: np.ndarray, maximum: int | None) -> np.ndarray:
    """Undo the scaling of gray values by Pillow; `maximum` is from :func:`stored_maximum`."""
    if maximum is None:
        return values
    scaled_maximum = 255 if values.dtype == np.uint8 else 65535
    return np.rint(values.astype(np.float64) * maximum / scaled_maximum).astype(np.int64)


def _as_ids(ids: Image.Image | np.ndarray) -> np.ndarray:
    """Return a map of ids as int64 (H, W); raise ValueError for anything but integers of this shape."""
    maximum = None
    if isinstance(ids, Image.Image):
        check_lossless(ids)
        maximum = stored_maximum(ids)
    array = np.asarray(ids)
    if array.ndim != 2 or array.dtype.kind not in "iub":
        hint = " (colors instead of ids?)" if array.ndim == 3 else ""
        raise ValueError("a map of ids is an integer array (H, W), "
                         f"got {array.dtype} of shape {array.shape}{hint}")
    return unscaled(array, maximum).astype(np.int64)


def _scale(array: np.ndarray) -> Tensor:
    """Convert uint8 (H, W, C) to (1, C, H, W) in [-1, 1]."""
    return torch.from_numpy(array.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)[None]

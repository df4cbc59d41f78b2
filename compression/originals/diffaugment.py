"""DiffAugment (Zhao et al., NeurIPS 2020): differentiable augmentation of what a discriminator sees.

A discriminator memorizes real images if there are few. Therefore it sees real and generated images only after
random transformations T, and the generator is trained through T. The discriminators here are conditional:
they take pairs of a generator's input and an image, concatenated along the channels. Translation and cutout
change both alike, so that input and image still fit; color changes only the image.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..runtime.text import unknown

AUGMENTATIONS = ("color", "translation", "cutout")
_NUMBERS = 7  # random numbers of a sample: 3 for the color, 2 for the translation, 2 for the cutout


@dataclass(frozen=True)
class Augmentation:
    """The transformations T of one batch. Real and generated pairs of a sample get the same one.

    Attributes:
        kinds: those of :class:`DiffAugment`.
        image_nc: channels of an image.
        numbers: uniform random numbers in [0, 1) of every sample, (N, 7), on the CPU.
    """

    kinds: tuple[str, ...]
    image_nc: int
    numbers: Tensor

    def __call__(self, pairs: Tensor) -> Tensor:
        """Transform pairs (M, C, H, W) of the first M samples, M at most N; the image's channels are last."""
        numbers = self.numbers[:len(pairs)]
        if "color" in self.kinds:
            condition, image = pairs[:, :-self.image_nc], pairs[:, -self.image_nc:]
            pairs = torch.cat((condition, change_color(image, numbers[:, :3])), 1)
        if "translation" in self.kinds:
            pairs = translate(pairs, numbers[:, 3:5])
        if "cutout" in self.kinds:
            pairs = cut_out(pairs, numbers[:, 5:])
        return pairs


class DiffAugment:
    """Draws the transformations of every training step.

    Args:
        kinds: any of AUGMENTATIONS, or only ``none``.
        image_nc: channels of an image.

    Raises:
        ValueError: for an unknown kind, ``none`` together with others, or ``color`` without RGB images.
    """

    def __init__(self, kinds: Sequence[str], image_nc: int):
        for kind in kinds:
            if kind not in ("none", *AUGMENTATIONS):
                raise ValueError(unknown(f"--diffaugment {kind}", kind, ("none", *AUGMENTATIONS)))
        if "none" in kinds and len(set(kinds)) > 1:
            raise ValueError(f"--diffaugment {' '.join(kinds)}: give either none or transformations")
        if "color" in kinds and image_nc == 2:
            raise ValueError("--diffaugment color changes RGB images, but the output of colorization are two "
                             "channels of colors; use --diffaugment translation cutout")
        self.kinds = tuple(kind for kind in AUGMENTATIONS if kind in kinds)
        self.image_nc = image_nc

    def draw(self, samples: int) -> Augmentation:
        """Draw transformations for a number of samples from torch's generator of the CPU.

        Without transformations, no number is drawn.
        """
        numbers = torch.rand(samples, _NUMBERS) if self.kinds else torch.empty(0, _NUMBERS)
        return Augmentation(self.kinds, self.image_nc, numbers)


def change_color(image: Tensor, numbers: Tensor) -> Tensor:
    """Change brightness, saturation and contrast of images, as in DiffAugment.

    The brightness changes by -0.5 to 0.5; the saturation is multiplied by 0 to 2 and the contrast by 0.5 to
    1.5.

    Args:
        image: (N, C, H, W) in [-1, 1].
        numbers: uniform in [0, 1), (N, 3).
    """
    brightness, saturation, contrast = numbers.to(image).view(-1, 3, 1, 1, 1).unbind(1)
    image = image + (brightness - 0.5)
    gray = image.mean(1, keepdim=True)
    image = gray + 2 * saturation * (image - gray)
    mean = image.mean((1, 2, 3), keepdim=True)
    return mean + (contrast + 0.5) * (image - mean)


def translate(pairs: Tensor, numbers: Tensor) -> Tensor:
    """Move pairs by up to an eighth of their height and width, in whole pixels, and fill the border with 0.

    Args:
        pairs: (N, C, H, W).
        numbers: uniform in [0, 1), (N, 2), for the vertical and the horizontal direction.
    """
    height, width = pairs.shape[2:]
    vertical, horizontal = round(height / 8), round(width / 8)
    reach = torch.tensor([vertical, horizontal], device=numbers.device)
    starts = (numbers * (2 * reach + 1)).long()
    padded = F.pad(pairs, (horizontal, horizontal, vertical, vertical))
    if pairs.device.type != "cpu":
        return crop_by_index(padded, starts, (height, width))
    return torch.cat([padded[n:n + 1, :, top:top + height, left:left + width]
                      for n, (top, left) in enumerate(starts.tolist())])


def crop_by_index(padded: Tensor, starts: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut a window out of every image, in one kernel for all of them; slices are faster on a CPU.

    Args:
        padded: (N, C, H', W').
        starts: first row and column of each window, (N, 2), integers.
        size: (H, W) of the windows.

    Returns:
        (N, C, H, W).
    """
    (samples, channels), columns = padded.shape[:2], padded.shape[3]
    rows = starts[:, :1] + torch.arange(size[0], device=starts.device)
    places = starts[:, 1:] + torch.arange(size[1], device=starts.device)
    positions = (rows.unsqueeze(2) * columns + places.unsqueeze(1)).view(samples, 1, -1)
    positions = positions.to(padded.device, non_blocking=True).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, positions).unflatten(2, size)


def cut_out(pairs: Tensor, numbers: Tensor) -> Tensor:
    """Set a rectangle of half the height and width to 0. Its center is anywhere in the image.

    Args:
        pairs: (N, C, H, W).
        numbers: uniform in [0, 1), (N, 2), the center in units of height and width.
    """
    hidden = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=pairs.device)
    for axis, size in ((2, pairs.shape[2]), (3, pairs.shape[3])):
        shape = [-1 if dim == axis else 1 for dim in range(4)]
        first = (numbers[:, axis - 2] * (size + 1)).long().to(pairs.device).view(-1, 1, 1, 1) - size // 4
        positions = torch.arange(size, device=pairs.device).view(shape)
        hidden = hidden & (positions >= first) & (positions < first + size // 2)
    return pairs.masked_fill(hidden, 0.0)

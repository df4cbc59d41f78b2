"""Encodings of data-set items as generator inputs: images as is, label maps one-hot with the edges of
instances."""
from __future__ import annotations

import colorsys

import torch
from torch import Tensor


class ImageEncoding:
    """Encoding of images, which passes them through unchanged.

    Attributes:
        channels: number of channels of the generator input.
    """

    def __init__(self, channels: int):
        self.channels = channels

    def __call__(self, image: Tensor) -> Tensor:
        """Return the images (N, C, H, W) in [-1, 1] unchanged."""
        return image

    def takes(self, image: Tensor) -> bool:
        """Return whether an image (C, H, W) has the channels and finite values."""
        return _is_encoded(image, self.channels)

    def picture(self, encoded: Tensor) -> Tensor:
        """Return generator inputs as images for display, (N, 1 or 3, H, W) in [-1, 1]."""
        return encoded


class LabelEncoding:
    """Encoding of label maps: one-hot classes and one channel of instance edges (Pix2PixHD, CVPR 2018).

    Args:
        label_nc: number of classes, with ids 0 to label_nc - 1 (``--label_nc``).
        dontcare: whether the id label_nc ("unknown") is a class of its own (``--contain_dontcare_label``).
        instance: whether there are instance ids (False for ``--no_instance``).

    Attributes:
        classes: number of classes, including "unknown".
        channels: number of channels of the generator input.

    Raises:
        ValueError: `label_nc` is below 1.
    """

    def __init__(self, label_nc: int, dontcare: bool = False, instance: bool = True):
        if label_nc < 1:
            raise ValueError(f"--label_nc must be at least 1, got {label_nc}")
        self.classes = label_nc + dontcare
        self.instance = instance
        self.channels = self.classes + instance

    def __call__(self, maps: Tensor) -> Tensor:
        """Encode label maps.

        Args:
            maps: (N, 1 or 2, H, W) integers, class ids and, with `instance`, instance ids.

        Returns:
            (N, channels, H, W) of 0 and 1; with `instance` the last channel holds :func:`instance_edges`.
        """
        labels = maps[:, :1].long()
        encoded = torch.zeros(len(maps), self.channels, *maps.shape[2:], device=maps.device)
        encoded.scatter_(1, labels, 1.0)
        if self.instance:
            encoded[:, -1:] = instance_edges(maps[:, 1:2])
        return encoded

    def takes(self, maps: Tensor) -> bool:
        """Return whether label maps (1 or 2, H, W) have ids of the classes, or are encoded already."""
        if maps.is_floating_point():
            return _is_encoded(maps, self.channels)
        enough = len(maps) >= 1 + self.instance and maps.numel() > 0
        return enough and int(maps[0].min()) >= 0 and int(maps[0].max()) < self.classes

    def picture(self, encoded: Tensor) -> Tensor:
        """Color generator inputs (N, channels, H, W) by class, (N, 3, H, W) in [-1, 1]."""
        ids = encoded[:, :self.classes].argmax(1)
        return palette(self.classes).to(encoded.device)[ids].permute(0, 3, 1, 2)


def _is_encoded(inputs: Tensor, channels: int) -> bool:
    """Return whether a tensor (C, H, W) has the channels of the generator and finite values."""
    return inputs.is_floating_point() and len(inputs) == channels and bool(inputs.isfinite().all())


def instance_edges(instances: Tensor) -> Tensor:
    """Mark the pixels whose instance id differs from that of a neighbor (left, right, above, below).

    Args:
        instances: (N, 1, H, W) instance ids.

    Returns:
        (N, 1, H, W), float32, 1 at edges and 0 elsewhere.
    """
    edges = torch.zeros(instances.shape, dtype=torch.bool, device=instances.device)
    across = instances[..., 1:] != instances[..., :-1]
    down = instances[..., 1:, :] != instances[..., :-1, :]
    edges[..., 1:] |= across
    edges[..., :-1] |= across
    edges[..., 1:, :] |= down
    edges[..., :-1, :] |= down
    return edges.float()


def palette(classes: int) -> Tensor:
    """Return one color per class, (classes, 3) in [-1, 1].

    Class 0 is black. The hues of consecutive ids differ by the golden ratio, so they are far apart.
    """
    colors = [(0.0, 0.0, 0.0)]
    for i in range(1, classes):
        hue = i * 0.618034 % 1
        colors.append(colorsys.hsv_to_rgb(hue, 0.55 + 0.4 * (i % 2), 0.95 - 0.15 * (i % 3)))
    return torch.tensor(colors[:classes]) * 2 - 1

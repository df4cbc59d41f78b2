"""What goes into a generator: images as they are, or label maps, one-hot encoded with the edges of instances."""
from __future__ import annotations

import colorsys

import torch
from torch import Tensor


class ImageEncoding:
    """Images go in as they are.

    Attributes:
        channels: channels of what the generator takes.
    """

    def __init__(self, channels: int):
        self.channels = channels

    def __call__(self, image: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> the same."""
        return image

    def picture(self, encoded: Tensor) -> Tensor:
        """What the generator takes -> images to look at, (N, 1 or 3, H, W) in [-1, 1]."""
        return encoded


class LabelEncoding:
    """Class ids become one channel each, instance ids one channel of edges (Pix2PixHD, CVPR 2018; SPADE, CVPR 2019).

    Args:
        label_nc: number of classes, ids 0 to label_nc - 1 (``--label_nc``).
        dontcare: whether id label_nc, which stands for unknown, is a class of its own (``--contain_dontcare_label``).
        instance: whether there are instance ids (no ``--no_instance``).

    Raises:
        ValueError: if `label_nc` is below 1.
    """

    def __init__(self, label_nc: int, dontcare: bool = False, instance: bool = True):
        if label_nc < 1:
            raise ValueError(f"--label_nc must be at least 1, got {label_nc}")
        self.classes, self.instance = label_nc + dontcare, instance
        self.channels = self.classes + instance

    def __call__(self, maps: Tensor) -> Tensor:
        """(N, 1 or 2, H, W) integers, class ids and instance ids -> (N, channels, H, W) of 0 and 1.

        An edge is where the instance id differs from one of the four neighbors'.
        """
        labels = maps[:, :1].long()
        encoded = torch.zeros(len(maps), self.channels, *maps.shape[2:], device=maps.device)
        encoded.scatter_(1, labels, 1.0)
        if self.instance:
            encoded[:, -1:] = instance_edges(maps[:, 1:2])
        return encoded

    def picture(self, encoded: Tensor) -> Tensor:
        """(N, channels, H, W) -> one color for each class, (N, 3, H, W) in [-1, 1]."""
        ids = encoded[:, :self.classes].argmax(1)
        return palette(self.classes).to(encoded.device)[ids].permute(0, 3, 1, 2)


def instance_edges(instances: Tensor) -> Tensor:
    """(N, 1, H, W) instance ids -> 1 where an id differs from a neighbor's (left, right, above, below), else 0."""
    edges = torch.zeros(instances.shape, dtype=torch.bool, device=instances.device)
    across = instances[..., 1:] != instances[..., :-1]
    down = instances[..., 1:, :] != instances[..., :-1, :]
    edges[..., 1:] |= across
    edges[..., :-1] |= across
    edges[..., 1:, :] |= down
    edges[..., :-1, :] |= down
    return edges.float()


def palette(classes: int) -> Tensor:
    """(classes, 3) colors in [-1, 1], far apart for neighboring ids: hues by the golden ratio, class 0 black."""
    colors = [colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.55 + 0.4 * (i % 2), 0.95 - 0.15 * (i % 3)) for i in range(classes)]
    return torch.tensor([(0.0, 0.0, 0.0), *colors[1:]][:classes]) * 2 - 1

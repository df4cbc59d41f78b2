"""DRN-D-105, the segmentation network of the Cityscapes mIoU in the GAN compression literature.

Dilated residual networks: Yu, Koltun, Funkhouser, CVPR 2017. Keys are those of the authors' segmentation checkpoints:
``base.<stage>...``, ``seg`` and ``up``.
"""
from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoints import load_state_dict_file, load_strictly

MEAN = (0.29010095242892997, 0.32808144844279574, 0.28696394422942517)  # of Cityscapes, RGB in [0, 1]
STD = (0.1829540508368939, 0.18656561047509476, 0.18447508988480435)
# stage: (convolution stage or bottlenecks, width, blocks, stride, dilation)
_STAGES = (("conv", 16, 1, 1, 1), ("conv", 32, 1, 2, 1), ("block", 64, 3, 2, 1), ("block", 128, 4, 2, 1),
           ("block", 256, 23, 1, 2), ("block", 512, 3, 1, 4), ("conv", 512, 1, 1, 2), ("conv", 512, 1, 1, 1))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; four times `width` channels come out."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        if stride != 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, 4 * width, 1, stride, bias=False),
                                            nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 4 * width, H / stride, W / stride)."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        return (self.bn3(self.conv3(y)) + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class DRN(nn.Module):
    """Photos (N, 3, H, W) in [0, 1], H and W multiples of 8 -> log-probabilities (N, classes, H, W) of 19 classes.

    Raises:
        ValueError: if the file holds another network.
    """

    def __init__(self, weights: str | Path | None = None, classes: int = 19):
        super().__init__()
        stages, inputs = [_conv(3, 16, 7, 1, 1)], 16
        for kind, width, blocks, stride, dilation in _STAGES:
            layers = []
            for i in range(blocks):
                if kind == "conv":
                    layers += _conv(inputs, width, 3, stride if i == 0 else 1, dilation)
                else:
                    layers.append(Bottleneck(inputs, width, stride if i == 0 else 1, dilation))
                inputs = width if kind == "conv" else 4 * width
            stages.append(nn.Sequential(*layers))
        self.base = nn.Sequential(*stages)
        self.seg = nn.Conv2d(inputs, classes, 1)
        self.up = nn.ConvTranspose2d(classes, classes, 16, 8, 4, groups=classes, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)
        if weights is not None:
            load_strictly(self, load_state_dict_file(weights), weights)
        self.eval().requires_grad_(False)

    def forward(self, photo: Tensor) -> Tensor:
        """See the class."""
        return self.up(self.seg(self.base((photo - self.mean) / self.std))).log_softmax(1)


def _conv(inputs, width, kernel, stride, dilation):
    return nn.Sequential(nn.Conv2d(inputs, width, kernel, stride, dilation * (kernel // 2), dilation, bias=False),
                         nn.BatchNorm2d(width), nn.ReLU(inplace=True))

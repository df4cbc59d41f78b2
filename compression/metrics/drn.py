"""DRN-D-105, with which the GAN compression literature measures the mIoU on Cityscapes.

Dilated residual networks (Yu, Koltun, and Funkhouser, CVPR 2017) with the keys of the authors' segmentation
checkpoints: ``base.<stage>...``, ``seg``, and ``up``.
"""
from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoints import load_state_dict_file, load_strictly

MEAN = (0.29010095242892997, 0.32808144844279574, 0.28696394422942517)  # of Cityscapes, RGB in [0, 1]
STD = (0.1829540508368939, 0.18656561047509476, 0.18447508988480435)
# of each stage: convolutions or bottlenecks, width, number of blocks, stride, dilation
_STAGES = (("conv", 16, 1, 1, 1), ("conv", 32, 1, 2, 1), ("block", 64, 3, 2, 1), ("block", 128, 4, 2, 1),
           ("block", 256, 23, 1, 2), ("block", 512, 3, 1, 4), ("conv", 512, 1, 1, 2), ("conv", 512, 1, 1, 1))


class Bottleneck(nn.Module):
    """Residual block of 1x1, 3x3, and 1x1 convolutions with `width`, `width`, and 4 `width` channels."""

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
        """Map (N, inputs, H, W) to (N, 4 * width, H / stride, W / stride)."""
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        return (self.bn3(self.conv3(y)) + shortcut).relu()


class DRN(nn.Module):
    """The segmentation network DRN-D-105.

    Args:
        weights: file of the weights; None keeps the initialization.
        classes: number of classes.

    Raises:
        ValueError: if the file contains another network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str | Path | None = None, classes: int = 19):
        super().__init__()
        stages = [_conv_bn_relu(3, 16, 7, 1, 1)]
        inputs = 16
        for kind, width, blocks, stride, dilation in _STAGES:
            layers: list[nn.Module] = []
            for i in range(blocks):
                block_stride = stride if i == 0 else 1
                if kind == "conv":
                    layers += _conv_bn_relu(inputs, width, 3, block_stride, dilation)
                    inputs = width
                else:
                    layers.append(Bottleneck(inputs, width, block_stride, dilation))
                    inputs = 4 * width
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
        """Compute log-probabilities (N, classes, H, W) of photos (N, 3, H, W) in [0, 1].

        H and W are multiples of 8.
        """
        return self.up(self.seg(self.base((photo - self.mean) / self.std))).log_softmax(1)


def _conv_bn_relu(inputs: int, width: int, kernel: int, stride: int, dilation: int) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(inputs, width, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))

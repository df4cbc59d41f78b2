"""Convolutions that compute blocks of pixels as channels: the same numbers, in a form that runs faster.

A convolution with few output channels leaves most lanes of a vector unit idle. Computing r x r neighboring
pixels as r^2 times as many channels, followed by a pixel shuffle (Shi et al., CVPR 2016), fills them.
"""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.layers import Input, concatenate


class FixedConv2d(nn.Module):
    """Base class of the convolutions here: they run at one width, and take the arguments of elastic layers.

    Args:
        weight: (outputs, inputs, k, k).
        bias: (outputs,) or None.
        width: the number of channels that the layer returns.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, width: int):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.width = width

    def forward(self, x: Input, out: int | None = None) -> Tensor:
        """Map one tensor (N, C, H, W), or a sequence of them to concatenate, to (N, width, H', W')."""
        if out not in (None, self.width):
            raise ValueError(f"a rewritten layer has one width, {self.width}, got {out}")
        return self.run(concatenate(x))

    def run(self, x: Tensor) -> Tensor:
        """Map one tensor (N, C, H, W) to (N, width, H', W')."""
        raise NotImplementedError


class BlockConv2d(FixedConv2d):
    r"""A k x k convolution of stride 1 as one of stride r with kernel k + r - 1 and a pixel shuffle.

    With block position (a, b), 0 <= a, b < r, the output y(c, r i + a, r j + b) is channel c r^2 + a r + b of
    the strided convolution at (i, j). Its kernel is that of channel c, shifted by (a, b):

        w'(c r^2 + a r + b, d, u + a, v + b) = w(c, d, u, v).

    It computes (k + r - 1)^2 / k^2 as many products. The height and width of the output must be multiples
    of r.

    Args:
        conv: the convolution, of stride 1.
        block: r.
    """

    def __init__(self, conv: nn.Conv2d, block: int):
        outputs, inputs, height, width = conv.weight.shape
        weight = conv.weight.new_zeros(outputs, block, block, inputs, height + block - 1, width + block - 1)
        for a in range(block):
            for b in range(block):
                weight[:, a, b, :, a:a + height, b:b + width] = conv.weight
        bias = None if conv.bias is None else conv.bias.repeat_interleave(block * block)
        super().__init__(weight.flatten(0, 2), bias, outputs)
        self.block = block
        self.padding = conv.padding

    def run(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.weight, self.bias, self.block, self.padding)
        return F.pixel_shuffle(y, self.block)


@dataclass(frozen=True)
class Phases:
    """How the rows of a transposed convolution of stride s follow from blocks of s rows.

    Row s q + a - crop of the output is the sum over the taps m = first, ..., first + taps - 1 of input row
    q - m times row a + offset + s m of the kernel, where that exists; offset = padding - crop.
    """

    crop: int
    first: int
    taps: int
    offset: int

    @staticmethod
    def of(kernel: int, stride: int, padding: int, crop: int) -> Phases:
        """Compute the taps for a number of rows that are cropped before the first one."""
        offset = padding - crop
        first = -((offset + stride - 1) // stride)
        last = (kernel - 1 - offset) // stride
        return Phases(crop, first, last - first + 1, offset)


class BlockConvTranspose2d(FixedConv2d):
    """A transposed convolution of stride s as a convolution with s^2 times as many channels and a pixel
    shuffle.

    Each of the s x s pixels of a block is a sum over a few input pixels (:class:`Phases`). Of the ways to cut
    the output into blocks, the one with the fewest products is used; it may compute a border that is cropped.
    A kernel of 4 with stride 2 needs no more products than the transposed convolution, one of 3 needs 16/9.

    Args:
        conv: the transposed convolution, with a square kernel and equal strides and paddings.
    """

    def __init__(self, conv: nn.ConvTranspose2d):
        kernel, stride, padding = conv.weight.shape[-1], conv.stride[0], conv.padding[0]
        assert isinstance(padding, int)
        candidates = [Phases.of(kernel, stride, padding, crop) for crop in range(stride)]
        phases = min(candidates, key=lambda phases: phases.taps)
        inputs, outputs = conv.weight.shape[:2]
        taps = phases.taps
        weight = conv.weight.new_zeros(outputs, stride, stride, inputs, taps, taps)
        rows = [(a, tap, t) for a in range(stride) for tap in range(taps)
                if 0 <= (t := a + phases.offset + stride * (phases.first + taps - 1 - tap)) < kernel]
        for a, row, t in rows:
            for b, column, u in rows:
                weight[:, a, b, :, row, column] = conv.weight[:, :, t, u].t()
        bias = None if conv.bias is None else conv.bias.repeat_interleave(stride * stride)
        super().__init__(weight.flatten(0, 2), bias, outputs)
        self.stride = stride
        self.crop = phases.crop
        self.before = phases.first + taps - 1  # rows of zeros before the first input row
        self.taps = taps
        self.excess = kernel - stride - 2 * padding + conv.output_padding[0]  # outputs beyond stride x inputs

    def run(self, x: Tensor) -> Tensor:
        lengths = [self.stride * side + self.excess for side in x.shape[2:]]
        after = -(-(self.excess + self.crop) // self.stride) + self.taps - 1 - self.before
        padding = 0
        if self.before == after:
            padding = after
        else:
            x = F.pad(x, (self.before, after) * 2)
        y = F.pixel_shuffle(F.conv2d(x, self.weight, self.bias, padding=padding), self.stride)
        if self.crop or y.shape[2:] != tuple(lengths):
            y = y[:, :, self.crop:self.crop + lengths[0], self.crop:self.crop + lengths[1]]
        return y

"""The graph of an exported file: a generator with the conversions of its inputs and its output."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.generator import ElasticGenerator
from ..runtime.images import UNKNOWN, pad
from .interface import IDS, VALUES, Interface


class DeployedGenerator(nn.Module):
    """A generator as a file holds it: inputs and output as an :class:`Interface` describes them.

    The graph holds no checks of sizes, which a trace would turn into constants.

    Args:
        net: the generator, rewritten for the runtime.
        interface: its inputs and its output.
        dynamic: whether the size of the images is not fixed.
        dtype: the type that the generator computes in.
    """

    def __init__(self, net: ElasticGenerator, interface: Interface, dynamic: bool = False,
                 dtype: torch.dtype = torch.float32):
        super().__init__()
        self.ids: Tensor
        self.net = net.to(dtype)
        self.interface = interface
        self.dynamic = dynamic
        self.dtype = dtype
        ids = torch.arange(max(1, interface.classes), dtype=torch.int32)
        self.register_buffer("ids", ids.view(1, -1, 1, 1), persistent=False)
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        """Translate images.

        Args:
            inputs: one tensor for each name in ``interface.input_names``, (N, C, H, W).

        Returns:
            (N, output_nc, H, W) in the values of the interface.
        """
        x = self.decode(*inputs)
        height, width = x.shape[-2:]
        if self.interface.pad:
            x = pad_dynamic(x, self.net.stride, self.net.min_strides) if self.dynamic else pad(self.net, x)
        y = self.net.run(x.to(self.dtype), self.net.full, True, lambda name, h: h).float()
        return self.encode(self.crop(y, height, width) if self.interface.pad else y)

    def crop(self, y: Tensor, height: int, width: int) -> Tensor:
        """Crop images to their first rows and columns."""
        if not self.dynamic:
            return y[..., :height, :width]
        # without a condition on whether there is anything to crop
        return y.index_select(2, torch.arange(height)).index_select(3, torch.arange(width))

    def decode(self, *inputs: Tensor) -> Tensor:
        """Convert the inputs of the file to the input of the generator, float32."""
        if self.interface.input_values == IDS:
            return self.encode_maps(*inputs)
        if self.interface.classes:
            return inputs[0]
        _, scale, shift = VALUES[self.interface.input_values]
        if self.interface.input_values == "signed":
            return inputs[0]
        return (inputs[0].float() - shift) / scale

    def encode_maps(self, labels: Tensor, instances: Tensor | None = None) -> Tensor:
        """Encode class ids and instance ids (N, 1, H, W) int32, as :class:`LabelEncoding` does."""
        if self.interface.dontcare:
            labels = torch.where(labels == UNKNOWN, self.interface.classes - 1, labels)
        encoded = torch.eq(labels, self.ids).float()
        if instances is None:
            return encoded
        across = torch.ne(instances[..., 1:], instances[..., :-1]).float()
        down = torch.ne(instances[..., 1:, :], instances[..., :-1, :]).float()
        edges = torch.maximum(F.pad(across, (1, 0)), F.pad(across, (0, 1)))
        edges = torch.maximum(edges, F.pad(down, (0, 0, 1, 0)))
        edges = torch.maximum(edges, F.pad(down, (0, 0, 0, 1)))
        return torch.cat((encoded, edges), 1)

    def encode(self, y: Tensor) -> Tensor:
        """Convert images in [-1, 1] to the values of the output."""
        _, scale, shift = VALUES[self.interface.output_values]
        if self.interface.output_values == "signed":
            return y
        y = y * scale + shift
        return y.round().clamp(0, 255).to(torch.uint8) if self.interface.output_values == "uint8" else y


def pad_dynamic(x: Tensor, stride: int, min_strides: int = 1) -> Tensor:
    """Pad images at the right and at the bottom as :func:`compression.runtime.images.pad` does, by gathers.

    A graph of them works for any size: lengths are tensors, and no condition is evaluated by a trace.

    Args:
        x: (N, C, H, W).
        stride: the padded height and width are its next multiples.
        min_strides: the smallest multiple.
    """
    height, width = x.shape[2], x.shape[3]
    padded_height, padded_width = (_next_multiple(side, stride, min_strides) for side in (height, width))
    h, new_h = _as_tensor(height), _as_tensor(padded_height)
    w, new_w = _as_tensor(width), _as_tensor(padded_width)
    reflects = (new_h - h < h) & (new_w - w < w)

    def sources(padded: int, length: Tensor) -> Tensor:
        i = torch.arange(padded)
        beyond = torch.where(reflects, (2 * (length - 1) - i).clamp_min(0), length - 1)
        return torch.where(i < length, i, beyond)

    return x.index_select(2, sources(padded_height, h)).index_select(3, sources(padded_width, w))


def _next_multiple(side: Any, stride: int, min_strides: int) -> Any:
    """Return the smallest multiple of `stride`, from `min_strides` on, that is not below `side`.

    A side is an int, a symbol of torch.export, or a tensor of a trace.
    """
    strides = (side + stride - 1) // stride
    if isinstance(strides, Tensor):
        return strides.clamp_min(min_strides) * stride
    return torch.sym_max(strides, min_strides) * stride


def _as_tensor(length: int) -> Tensor:
    """Return a length as a tensor (1,), also where a trace or an export has it as a symbol."""
    return torch.arange(length)[-1:] + 1

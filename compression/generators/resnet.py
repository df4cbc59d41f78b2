"""Generators of strided convolutions, residual blocks and transposed convolutions, elastic in width and
depth.

Pix2Pix's ResNet (Johnson et al., ECCV 2016, as in upstream's code) and Pix2PixHD's global generator (Wang et
al., CVPR 2018) are the same chain of layers with different numbers of strided convolutions.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.families import Family, Field, register
from ..elastic.generator import ElasticGenerator, Tap
from ..elastic.layers import ElasticConv2d, ElasticConvTranspose2d, Shapes, infer_norm, make_norm
from ..originals.objectives import Pix2PixObjective
from .widths import TRUNK, W64, W128


class ResnetBlock(nn.Module):
    """Residual block x + norm(conv(relu(norm(conv(x))))) with reflection padding.

    Args:
        trunk: width of the input and of the output.
        inner: full width between the convolutions.
        norm: ``--norm``.
        bias: whether the convolutions have a bias.
        dropout: whether dropout follows the ReLU.
    """

    def __init__(self, trunk: int, inner: int, norm: str, bias: bool, dropout: bool = False):
        super().__init__()
        layers: dict[str, nn.Module] = {}
        layers["1"] = ElasticConv2d(trunk, inner, 3, bias=bias)
        layers["2"] = make_norm(norm, inner)
        if dropout:
            layers["4"] = nn.Dropout(0.5)
        second = 6 if dropout else 5  # upstream's dropout layer shifts the keys by one
        layers[str(second)] = ElasticConv2d(inner, trunk, 3, bias=bias)
        layers[str(second + 1)] = make_norm(norm, trunk)
        self.conv_block = nn.ModuleDict(layers)

    def forward(self, x: Tensor, inner: int, is_full: bool) -> Tensor:
        """Map (N, trunk, H, W) to the same shape, with `inner` channels between the convolutions."""
        conv_in, norm_in, *dropout, conv_out, norm_out = self.conv_block.values()
        h = F.relu(norm_in(conv_in(F.pad(x, (1,) * 4, "reflect"), inner), is_full))
        if dropout and is_full:
            h = dropout[0](h)
        return x + norm_out(conv_out(F.pad(h, (1,) * 4, "reflect"), x.shape[1]), is_full)


def up_convolution(trunk: int, out: int, bias: bool) -> ElasticConvTranspose2d:
    """Build the transposed convolution that doubles height and width."""
    return ElasticConvTranspose2d(trunk, out, 3, stride=2, padding=1, output_padding=1, bias=bias)


class Chain(nn.ModuleDict):
    """7x7 stem, d strided convolutions, residual blocks and d transposed convolutions, with upstream's keys.

    Args:
        input_nc: number of input channels.
        encoder: widths of the stem and of the d strided convolutions; the last one is also the width of the
            inputs and outputs of the blocks.
        inner: widths inside the blocks; a sub-network with n of them runs the first n blocks.
        decoder: widths of the d transposed convolutions.
        norm, bias, dropout: as in :class:`ResnetBlock`.
    """

    def __init__(self, input_nc: int, encoder: Sequence[int], inner: Sequence[int], decoder: Sequence[int],
                 norm: str, bias: bool, dropout: bool = False):
        self.first_block = 4 + 3 * len(decoder)
        self.first_up = self.first_block + len(inner)
        self.image_layer = str(self.first_up + 3 * len(decoder) + 1)  # upstream's key of the last convolution
        layers: dict[str, nn.Module] = {}

        def add(index: int, conv: nn.Module, width: int) -> None:
            layers[str(index)] = conv
            layers[str(index + 1)] = make_norm(norm, width)

        add(1, ElasticConv2d(input_nc, encoder[0], 7, bias=bias), encoder[0])
        for i, width in enumerate(encoder[1:]):
            add(4 + 3 * i, ElasticConv2d(encoder[i], width, 3, stride=2, padding=1, bias=bias), width)
        for i, width in enumerate(inner):
            layers[str(self.first_block + i)] = ResnetBlock(encoder[-1], width, norm, bias, dropout)
        inputs = (encoder[-1], *decoder[:-1])
        for i, (before, width) in enumerate(zip(inputs, decoder, strict=True)):
            add(self.first_up + 3 * i, up_convolution(before, width, bias), width)
        super().__init__(layers)

    def forward(self, x: Tensor, encoder: Sequence[int], inner: Sequence[int], decoder: Sequence[int],
                is_full: bool, tap: Tap) -> Tensor:
        """Map (N, input_nc, H, W) to (N, decoder[-1], H, W) with these widths."""
        def conv_norm_relu(index: int, x: Tensor, out: int) -> Tensor:
            conv, norm = self[str(index)], self[str(index + 1)]
            return F.relu(norm(conv(x, out), is_full))

        x = conv_norm_relu(1, F.pad(x, (3,) * 4, "reflect"), encoder[0])
        for i, width in enumerate(encoder[1:]):
            x = conv_norm_relu(4 + 3 * i, x, width)
        x = tap("trunk.0", x)
        for i, width in enumerate(inner):
            x = tap(f"trunk.{i + 1}", self[str(self.first_block + i)](x, width, is_full))
        for i, width in enumerate(decoder):
            x = tap(f"up.{i}", conv_norm_relu(self.first_up + 3 * i, x, width))
        return x


class ChainWidths(NamedTuple):
    """The widths of a :class:`Chain`, inferred from a state dict.

    Attributes:
        encoder, inner, decoder: the arguments of :class:`Chain`.
        image_layer: index of the output convolution in upstream's keys.
    """

    encoder: tuple[int, ...]
    inner: tuple[int, ...]
    decoder: tuple[int, ...]
    image_layer: int


def read_chain(shapes: Shapes) -> ChainWidths | None:
    """Infer the widths of the chain ``model.`` from the keys and shapes of a state dict; None if it has
    none."""
    blocks = sorted({int(m[1]) for key in shapes if (m := re.match(r"model\.(\d+)\.conv_block\.", key))})
    if not blocks or len(blocks) != blocks[-1] - blocks[0] + 1:  # gaps; a number in the file may be huge
        return None
    if blocks[0] < 7 or blocks[0] % 3 != 1:  # 4 + 3 d for d strided convolutions
        return None
    if blocks[0] > 4 + 3 * len(shapes):  # more strided convolutions than entries
        return None
    downs = range(4, blocks[0], 3)
    first_up = blocks[-1] + 1
    ups = range(first_up, first_up + 3 * len(downs), 3)
    if any(f"model.{index}.weight" not in shapes for index in (1, *downs, *ups)):
        return None
    return ChainWidths(encoder=tuple(shapes[f"model.{index}.weight"][0] for index in (1, *downs)),
                       inner=tuple(shapes[f"model.{index}.conv_block.1.weight"][0] for index in blocks),
                       decoder=tuple(shapes[f"model.{index}.weight"][1] for index in ups),
                       image_layer=first_up + 3 * len(downs) + 1)


class ConvResnetGenerator(ElasticGenerator):
    """A :class:`Chain` and a 7x7 convolution to the image; subclasses map an architecture to its widths.

    Taps: ``trunk.0`` (before the blocks), ``trunk.<i>`` after block i, ``up.<i>`` after transposed
        convolution i.
    """

    min_strides = 2  # the blocks pad by reflection

    @staticmethod
    def widths(arch: Arch) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Return the arguments (encoder, inner, decoder) of :class:`Chain` for an architecture."""
        raise NotImplementedError

    @staticmethod
    def has_bias(norm: str) -> bool:
        """Return whether the convolutions before a norm have a bias."""
        raise NotImplementedError

    def __init__(self, full: Arch, input_nc: int, output_nc: int, norm: str, **dropout: bool):
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm, **dropout)
        encoder, inner, decoder = self.widths(full)
        self.stride = 2 ** len(decoder)
        self.model = Chain(input_nc, encoder, inner, decoder, norm, self.has_bias(norm), **dropout)
        self.model[self.model.image_layer] = ElasticConv2d(decoder[-1], output_nc, 7)

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap: Tap) -> Tensor:
        x = self.model(x, *self.widths(arch), is_full, tap)
        return self.model[self.model.image_layer](F.pad(x, (3,) * 4, "reflect")).tanh()

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        depth = len(self.widths(arch or self.full)[1])
        return tuple(f"trunk.{round(i * depth / 3)}" for i in range(4))

    @staticmethod
    def read_widths(shapes: Shapes) -> tuple[ChainWidths, dict] | None:
        """Infer the widths, and input_nc and output_nc, from a state dict; None if it is not such a
        generator."""
        chain = read_chain(shapes)
        if chain is None or any(not key.startswith("model.") for key in shapes):
            return None
        image = shapes.get(f"model.{chain.image_layer}.weight")
        if image is None:
            return None
        return chain, {"input_nc": shapes["model.1.weight"][1], "output_nc": image[0]}


class ResnetGenerator(ConvResnetGenerator):
    """Pix2Pix's ResNet generator, which has two strided convolutions.

    ``stem`` are the widths of the stem and of the first strided convolution, ``trunk`` the width of the
    second one and of the inputs and outputs of the blocks, ``inner`` the widths inside the blocks,
    ``decoder`` the widths of the transposed convolutions.
    """

    family = "resnet"
    extra_settings = ("dropout",)

    def __init__(self, full: Arch, input_nc: int = 3, output_nc: int = 3, norm: str = "instance",
                 dropout: bool = False):
        super().__init__(full, input_nc, output_nc, norm, dropout=dropout)

    @staticmethod
    def widths(arch: Arch) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        return (*arch.stem, arch.trunk), arch.inner, arch.decoder

    @staticmethod
    def has_bias(norm: str) -> bool:
        return norm == "instance"  # as upstream: batch norm has its own bias, and "none" has no bias at all

    @staticmethod
    def read_architecture(shapes: Shapes) -> tuple[Arch, dict] | None:
        widths_and_channels = ConvResnetGenerator.read_widths(shapes)
        if widths_and_channels is None:
            return None
        chain, channels = widths_and_channels
        norm = infer_norm(shapes, "model.1", "model.2")
        if norm == "instance" and "model.2.weight" in shapes:
            return None  # Pix2PixHD: only its convolutions have a bias before batch norm
        if len(chain.decoder) != 2:
            return None
        *stem, trunk = chain.encoder
        arch = Arch("resnet", stem=stem, trunk=trunk, inner=chain.inner, decoder=chain.decoder)
        dropout = len(shapes.get("model.10.conv_block.6.weight", ())) == 4
        return arch, {**channels, "norm": norm, "dropout": dropout}


def check_lengths(arch: Arch, **lengths: int | None) -> None:
    """Validate that fields are sequences of given lengths and that no width is 0.

    Args:
        arch: the architecture.
        lengths: field name -> number of widths; None is any number from 1 on.

    Raises:
        ValueError: a field is a single width or has another length, or a width is 0.
    """
    for name, length in lengths.items():
        value = getattr(arch, name)
        if isinstance(value, tuple) and (len(value) == length if length else value):
            continue
        number = {1: "one", 2: "two", None: "at least one"}.get(length, length)
        plural = "s" if length not in (1, None) else ""
        raise ValueError(f"a {arch.family} has {number} '{name}' width{plural}, got {value}")
    if 0 in arch.widths:
        raise ValueError(f"widths of a {arch.family} are positive, got 0")


def _check(arch: Arch) -> None:
    if isinstance(arch.trunk, tuple):
        raise ValueError(f"a resnet has one 'trunk' width, got {arch.trunk}")
    check_lengths(arch, stem=2, inner=None, decoder=2)


def _full(blocks: int) -> Callable[[int], Arch]:
    """Return the function from ``--ngf`` to the full architecture with this number of blocks."""
    return lambda ngf: Arch("resnet", stem=(ngf, 2 * ngf), trunk=4 * ngf, inner=(4 * ngf,) * blocks,
                            decoder=(2 * ngf, ngf))


register(Family(
    name="resnet",
    fields={"stem": Field(lambda i: (W64, W128)[i]),
            "trunk": Field(lambda i: TRUNK, single=True),
            "inner": Field(lambda i: TRUNK, min_length=3),
            "decoder": Field(lambda i: (W128, W64)[i])},
    generator=ResnetGenerator, full={"resnet_9blocks": _full(9), "resnet_6blocks": _full(6)}, check=_check,
    norm="batch", objective=Pix2PixObjective))

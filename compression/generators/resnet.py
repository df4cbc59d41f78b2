"""Generators of strided convolutions, residual blocks and transposed convolutions, elastic in width and depth.

Pix2Pix's ResNet (Johnson et al., ECCV 2016, as the host has it) and Pix2PixHD's global generator (Wang et al., CVPR
2018) are the same chain with another number of strided convolutions.
"""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.families import Family, Field, register
from ..elastic.layers import ElasticConv2d, ElasticConvTranspose2d, make_norm
from ..elastic.generator import ElasticGenerator
from ..originals.objectives import Pix2PixObjective
from .widths import TRUNK, W64, W128


class ResnetBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), reflection padding; only the inner width is its own."""

    def __init__(self, trunk: int, inner: int, norm: str, bias: bool, dropout: bool = False):
        super().__init__()
        second = 6 if dropout else 5  # upstream's dropout layer shifts the keys by one
        self.conv_block = nn.ModuleDict({
            "1": ElasticConv2d(trunk, inner, 3, bias=bias), "2": make_norm(norm, inner),
            **({"4": nn.Dropout(0.5)} if dropout else {}),
            str(second): ElasticConv2d(inner, trunk, 3, bias=bias), str(second + 1): make_norm(norm, trunk)})

    def forward(self, x: Tensor, inner: int, is_full: bool) -> Tensor:
        conv_in, norm_in, *dropout, conv_out, norm_out = self.conv_block.values()
        h = F.relu(norm_in(conv_in(F.pad(x, (1,) * 4, "reflect"), inner), is_full))
        if dropout and is_full:
            h = dropout[0](h)
        return x + norm_out(conv_out(F.pad(h, (1,) * 4, "reflect"), x.shape[1]), is_full)


def up_convolution(trunk: int, out: int, bias: bool) -> ElasticConvTranspose2d:
    """The transposed convolution that doubles the sides."""
    return ElasticConvTranspose2d(trunk, out, 3, stride=2, padding=1, output_padding=1, bias=bias)


def norm_in_keys(shapes: Mapping[str, tuple[int, ...]], conv: str, norm: str) -> str:
    """``--norm`` of a network whose convolutions have a bias with instance norm alone, by two of its keys."""
    return "instance" if f"{conv}.bias" in shapes else "batch" if f"{norm}.weight" in shapes else "none"


class Chain(nn.ModuleDict):
    """7x7 stem, d strided convolutions, residual blocks and d transposed convolutions, in upstream's numbering.

    Args:
        encoder: widths of the stem and of the d strided convolutions; the last is also that of the blocks outside.
        inner: widths inside the blocks; a depth of n runs the first n.
        decoder: widths of the d transposed convolutions.
    """

    def __init__(self, input_nc: int, encoder: Sequence[int], inner: Sequence[int], decoder: Sequence[int], norm: str,
                 bias: bool, dropout: bool = False):
        self.first_block = 4 + 3 * len(decoder)
        self.first_up = self.first_block + len(inner)
        self.image_layer = str(self.first_up + 3 * len(decoder) + 1)  # where upstream puts the 7x7 to the image
        layers: dict[str, nn.Module] = {}

        def add(index: int, conv: nn.Module, width: int) -> None:
            layers.update({str(index): conv, str(index + 1): make_norm(norm, width)})

        add(1, ElasticConv2d(input_nc, encoder[0], 7, bias=bias), encoder[0])
        for i, width in enumerate(encoder[1:]):
            add(4 + 3 * i, ElasticConv2d(encoder[i], width, 3, stride=2, padding=1, bias=bias), width)
        for i, width in enumerate(inner):
            layers[str(self.first_block + i)] = ResnetBlock(encoder[-1], width, norm, bias, dropout)
        for i, (before, width) in enumerate(zip((encoder[-1], *decoder), decoder)):
            add(self.first_up + 3 * i, up_convolution(before, width, bias), width)
        super().__init__(layers)

    def forward(self, x: Tensor, encoder: Sequence[int], inner: Sequence[int], decoder: Sequence[int], is_full: bool,
                tap) -> Tensor:
        """(N, input_nc, H, W) -> (N, decoder[-1], H, W) of the slice with these widths."""
        def step(index: int, x: Tensor, out: int) -> Tensor:
            return F.relu(self[str(index + 1)](self[str(index)](x, out), is_full))

        x = step(1, F.pad(x, (3,) * 4, "reflect"), encoder[0])
        for i, width in enumerate(encoder[1:]):
            x = step(4 + 3 * i, x, width)
        x = tap("trunk.0", x)
        for i, width in enumerate(inner):
            x = tap(f"trunk.{i + 1}", self[str(self.first_block + i)](x, width, is_full))
        for i, width in enumerate(decoder):
            x = tap(f"up.{i}", step(self.first_up + 3 * i, x, width))
        return x


def read_chain(shapes: Mapping[str, tuple[int, ...]]) -> tuple[tuple, tuple, tuple, int] | None:
    """(encoder, inner, decoder, index of the image layer) of a state dict with a chain ``model.``; None without one."""
    blocks = sorted({int(m[1]) for key in shapes if (m := re.match(r"model\.(\d+)\.conv_block\.", key))})
    if not blocks or len(blocks) != blocks[-1] - blocks[0] + 1 or blocks[0] % 3 != 1 or blocks[0] < 7:
        return None
    downs, ups = range(4, blocks[0], 3), range(blocks[-1] + 1, blocks[-1] + 1 + blocks[0] - 4, 3)
    if any(f"model.{k}.weight" not in shapes for k in (1, *downs, *ups)):
        return None
    return (tuple(shapes[f"model.{k}.weight"][0] for k in (1, *downs)),
            tuple(shapes[f"model.{k}.conv_block.1.weight"][0] for k in blocks),
            tuple(shapes[f"model.{k}.weight"][1] for k in ups), ups.stop + 1)


class ConvResnetGenerator(ElasticGenerator):
    """A chain and a 7x7 convolution to the image; subclasses name its widths.

    Taps: ``trunk.0`` (before the blocks), ``trunk.<i>`` after block i, ``up.<i>`` after transposed convolution i.
    """

    min_strides = 2  # the blocks pad by reflection

    @staticmethod
    def widths(arch: Arch) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """(encoder, inner, decoder) of an architecture."""
        raise NotImplementedError

    @staticmethod
    def has_bias(norm: str) -> bool:
        """Whether the convolutions before a norm have a bias."""
        raise NotImplementedError

    def __init__(self, full: Arch, input_nc: int, output_nc: int, norm: str, **dropout: bool):
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm, **dropout)
        encoder, inner, decoder = self.widths(full)
        self.stride = 2 ** len(decoder)
        self.model = Chain(input_nc, encoder, inner, decoder, norm, self.has_bias(norm), **dropout)
        self.model[self.model.image_layer] = ElasticConv2d(decoder[-1], output_nc, 7)

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap) -> Tensor:
        x = self.model(x, *self.widths(arch), is_full, tap)
        return self.model[self.model.image_layer](F.pad(x, (3,) * 4, "reflect")).tanh()

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        depth = len(self.widths(arch or self.full)[1])
        return tuple(f"trunk.{round(i * depth / 3)}" for i in range(4))

    @staticmethod
    def read(shapes: Mapping[str, tuple[int, ...]]) -> tuple[tuple, tuple, tuple, dict] | None:
        """(encoder, inner, decoder, channels in and out) of a state dict; None if it is no such generator."""
        found = read_chain(shapes)
        image = shapes.get(f"model.{found[3]}.weight") if found else None
        if image is None or any(not key.startswith("model.") for key in shapes):
            return None
        return *found[:3], dict(input_nc=shapes["model.1.weight"][1], output_nc=image[0])


class ResnetGenerator(ConvResnetGenerator):
    """Pix2Pix's ResNet: two strided convolutions."""

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
        return norm == "instance"  # as upstream: batch norm has its own, and "none" has neither

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Arch, dict] | None:
        found = ConvResnetGenerator.read(shapes)
        norm = norm_in_keys(shapes, "model.1", "model.2")
        if found is None or len(found[2]) != 2 or (norm == "instance" and "model.2.weight" in shapes):
            return None  # with a bias before batch norm it is Pix2PixHD's
        (c1, c2, trunk), inner, decoder, config = found
        dropout = len(shapes.get("model.10.conv_block.6.weight", ())) == 4
        return (Arch("resnet", stem=(c1, c2), trunk=trunk, inner=inner, decoder=decoder),
                {**config, "norm": norm, "dropout": dropout})


def check_lengths(arch: Arch, **lengths: int | None) -> None:
    """ValueError unless each field is a sequence of that length (None: at least 1) and no width is 0."""
    for name, length in lengths.items():
        value = getattr(arch, name)
        if not isinstance(value, tuple) or (len(value) != length if length else not value):
            wanted = {1: "one", 2: "two", None: "at least one"}.get(length, length)
            raise ValueError(f"a {arch.family} has {wanted} '{name}' width{'s' * (length != 1 and length is not None)}, "
                             f"got {value}")
    if 0 in arch.widths:
        raise ValueError(f"widths of a {arch.family} are positive, got 0")


def _check(arch: Arch) -> None:
    if isinstance(arch.trunk, tuple):
        raise ValueError(f"a resnet has one 'trunk' width, got {arch.trunk}")
    check_lengths(arch, stem=2, inner=None, decoder=2)


def _full(blocks: int):
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

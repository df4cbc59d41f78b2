"""Pix2Pix ResNet generator (Johnson et al., ECCV 2016, as the host has it), elastic in width and depth."""
from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from ..arch import Arch
from ..families import Family, Field, register
from ..layers import ElasticConv2d, ElasticConvTranspose2d, make_norm
from .base import ElasticGenerator
from .widths import TRUNK, W64, W128


class ResnetBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), reflection padding; only the inner width is its own."""

    def __init__(self, trunk: int, inner: int, norm: str, bias: bool, dropout: bool):
        super().__init__()
        second = 6 if dropout else 5  # upstream's dropout layer shifts the keys by one
        self.conv_block = nn.ModuleDict({
            "1": ElasticConv2d(trunk, inner, 3, bias=bias), "2": make_norm(norm, inner),
            **({"4": nn.Dropout(0.5)} if dropout else {}),
            str(second): ElasticConv2d(inner, trunk, 3, bias=bias), str(second + 1): make_norm(norm, trunk)})

    def forward(self, x: Tensor, inner: int, whole: bool) -> Tensor:
        conv_in, norm_in, *dropout, conv_out, norm_out = self.conv_block.values()
        h = F.relu(norm_in(conv_in(F.pad(x, (1,) * 4, "reflect"), inner), whole))
        if dropout and whole:
            h = dropout[0](h)
        return x + norm_out(conv_out(F.pad(h, (1,) * 4, "reflect"), x.shape[1]), whole)


class ResnetGenerator(ElasticGenerator):
    """7x7 stem, two strided convolutions, residual blocks, two transposed convolutions, 7x7 to the image.

    A depth of d runs the first d blocks. Taps: ``trunk.0`` (before the blocks), ``trunk.<i>`` after block i, ``up.0``.
    """

    family = "resnet"
    stride = 4

    def __init__(self, full: Arch, input_nc: int = 3, output_nc: int = 3, norm: str = "instance",
                 dropout: bool = False):
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm, dropout=dropout)
        (c1, c2), (d1, d2), n = full.stem, full.decoder, len(full.inner)
        bias = norm == "instance"  # as upstream: batch norm has its own, and "none" has neither
        up = dict(stride=2, padding=1, output_padding=1, bias=bias)
        self.model = nn.ModuleDict({
            "1": ElasticConv2d(input_nc, c1, 7, bias=bias), "2": make_norm(norm, c1),
            "4": ElasticConv2d(c1, c2, 3, stride=2, padding=1, bias=bias), "5": make_norm(norm, c2),
            "7": ElasticConv2d(c2, full.trunk, 3, stride=2, padding=1, bias=bias), "8": make_norm(norm, full.trunk),
            **{str(10 + i): ResnetBlock(full.trunk, m, norm, bias, dropout) for i, m in enumerate(full.inner)},
            str(10 + n): ElasticConvTranspose2d(full.trunk, d1, 3, **up), str(11 + n): make_norm(norm, d1),
            str(13 + n): ElasticConvTranspose2d(d1, d2, 3, **up), str(14 + n): make_norm(norm, d2),
            str(17 + n): ElasticConv2d(d2, output_nc, 7)})

    def run(self, x: Tensor, arch: Arch, whole: bool, tap) -> Tensor:
        n, layers = len(self.full.inner), self.model

        def step(index: int, x: Tensor, out: int) -> Tensor:
            return F.relu(layers[str(index + 1)](layers[str(index)](x, out), whole))

        x = step(1, F.pad(x, (3,) * 4, "reflect"), arch.stem[0])
        x = step(4, x, arch.stem[1])
        x = tap("trunk.0", step(7, x, arch.trunk))
        for i, inner in enumerate(arch.inner):
            x = tap(f"trunk.{i + 1}", layers[str(10 + i)](x, inner, whole))
        x = tap("up.0", step(10 + n, x, arch.decoder[0]))
        x = step(13 + n, x, arch.decoder[1])
        return layers[str(17 + n)](F.pad(x, (3,) * 4, "reflect")).tanh()

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        depth = len((arch or self.full).inner)
        return tuple(f"trunk.{round(i * depth / 3)}" for i in range(4))

    @staticmethod
    def describe(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Arch, dict] | None:
        blocks = sorted({int(m[1]) for key in shapes if (m := re.match(r"model\.(\d+)\.conv_block\.", key))})
        if not blocks or any(f"model.{k}.weight" not in shapes for k in (1, 4, 7)) or blocks[0] != 10:
            return None  # another number of strided convolutions: not this family
        n = len(blocks)
        dropout = len(shapes.get("model.10.conv_block.6.weight", ())) == 4

        def width(key: str, dim: int = 0) -> int:
            return shapes[f"model.{key}.weight"][dim]

        arch = Arch("resnet", stem=(width("1"), width("4")), trunk=width("7"),
                    inner=tuple(width(f"{i}.conv_block.1") for i in blocks),
                    decoder=(width(str(10 + n), 1), width(str(13 + n), 1)))
        norm = "instance" if "model.1.bias" in shapes else "batch" if "model.2.weight" in shapes else "none"
        return arch, dict(input_nc=width("1", 1), output_nc=width(str(17 + n)), norm=norm, dropout=dropout)


def _check(arch: Arch) -> None:
    if isinstance(arch.trunk, tuple) or not isinstance(arch.inner, tuple) or not arch.inner:
        raise ValueError("a resnet has one 'trunk' width and at least one 'inner' width")
    for name in ("stem", "decoder"):
        if not isinstance(getattr(arch, name), tuple) or len(getattr(arch, name)) != 2:
            raise ValueError(f"a resnet has two '{name}' widths, got {getattr(arch, name)}")
    if 0 in arch.widths:
        raise ValueError("widths of a resnet are positive, got 0")


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
    norm="batch"))

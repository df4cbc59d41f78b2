"""A generator family of one's own, in one file: copy it, change it, put it into compression/generators/.

The generator is a U-Net of strided convolutions, residual blocks in the middle, and on the way up nearest-neighbor
resizing before ordinary convolutions. docs/own_generator.md goes through it piece by piece.
"""
from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from compression.elastic.arch import Arch
from compression.elastic.families import Family, Field, register
from compression.elastic.generator import ElasticGenerator
from compression.elastic.layers import ElasticConv2d, make_norm
from compression.originals.objectives import Pix2PixObjective


class ConvNorm(nn.Module):
    """A 3x3 convolution and its norm. The sizes given here are the largest; a call says how many outputs it wants, and
    how many inputs there are is read off the input."""

    def __init__(self, before: int | tuple[int, ...], width: int, norm: str, stride: int = 1):
        super().__init__()
        self.conv = ElasticConv2d(before, width, 3, stride=stride, padding=1, bias=norm == "none")
        self.norm = make_norm(norm, width)

    def forward(self, x, out: int, is_full: bool) -> Tensor:
        return self.norm(self.conv(x, out), is_full)


class Block(nn.Module):
    """A residual block: its outside has the width of what comes in, its inside is a slot of its own."""

    def __init__(self, trunk: int, inner: int, norm: str):
        super().__init__()
        self.first, self.second = ConvNorm(trunk, inner, norm), ConvNorm(inner, trunk, norm)

    def forward(self, x: Tensor, inner: int, is_full: bool) -> Tensor:
        return x + self.second(F.relu(self.first(x, inner, is_full)), x.shape[1], is_full)


class ResizeUnetGenerator(ElasticGenerator):
    """``encoder[0]`` is the width at full resolution, ``encoder[i]`` that after strided convolution i; ``inner`` are the
    widths inside the blocks, as many as there are; ``decoder[i]`` is the width after going up i + 1 times.

    Taps: ``middle`` before the blocks, ``blocks`` after them, ``up.<i>`` of the decoder.
    """

    family = "resize_unet"  # what architectures are called in files; the name under which it is registered below
    extra_settings = ("dropout",)  # constructor arguments beside the four that every family has
    min_strides = 2  # instance norm needs more than one pixel in the middle

    def __init__(self, full: Arch, input_nc: int = 3, output_nc: int = 3, norm: str = "instance", dropout: bool = False):
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm, dropout=dropout)  # kept as self.config
        encoder, inner, decoder = full.encoder, full.inner, full.decoder
        self.stride = 2 ** len(decoder)  # sides of images are multiples of it
        self.encoder = nn.ModuleList(ConvNorm(before, width, norm, stride=2 if i else 1)
                                     for i, (before, width) in enumerate(zip((input_nc, *encoder), encoder)))
        self.blocks = nn.ModuleList(Block(encoder[-1], width, norm) for width in inner)
        # two inputs side by side, what comes from below and the skip connection: each is sliced by itself
        self.decoder = nn.ModuleList(ConvNorm((below, skip), width, norm) for below, skip, width
                                     in zip((encoder[-1], *decoder), encoder[-2::-1], decoder))
        self.image = ElasticConv2d(decoder[-1], output_nc, 7, padding=3)

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap) -> Tensor:
        """All widths and depths come from `arch`, nothing from self.full. `is_full` (arch is the full size) goes to every
        norm, whose running statistics are the full network's alone; dropout too acts only there."""
        skips = []
        for layer, width in zip(self.encoder, arch.encoder):
            x = F.relu(layer(x, width, is_full))
            skips.append(x)
        x = tap("middle", skips.pop())  # hands x on, and keeps it if somebody asked for it
        for block, width in zip(self.blocks, arch.inner):  # elastic depth: the first blocks run, the others do not
            x = block(x, width, is_full)
        x = tap("blocks", x)
        if self.config["dropout"] and is_full:
            x = F.dropout(x, 0.5, self.training)
        for i, (layer, width) in enumerate(zip(self.decoder, arch.decoder)):
            up = F.interpolate(x, scale_factor=2, mode="nearest")
            x = tap(f"up.{i}", F.relu(layer((up, skips.pop()), width, is_full)))
        return self.image(x).tanh()

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        """Where distillation may compare activations: points that exist at every depth, of one size at every width."""
        return "middle", "blocks", "up.0"

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Arch, dict] | None:
        """The inverse of the constructor: a checkpoint says by keys and shapes what it is, so nobody has to."""
        def widths(key: str) -> tuple[int, ...]:
            found = []
            while shape := shapes.get(key.format(len(found))):
                found.append(shape[0])
            return tuple(found)

        encoder, inner, decoder = map(widths, ("encoder.{}.conv.weight", "blocks.{}.first.conv.weight",
                                               "decoder.{}.conv.weight"))
        if not (encoder and inner and decoder) or "image.weight" not in shapes:
            return None  # a file of another family
        norm = ("batch" if "encoder.0.norm.weight" in shapes else  # instance norm has no entries
                "none" if "encoder.0.conv.bias" in shapes else "instance")
        return (Arch("resize_unet", encoder=encoder, inner=inner, decoder=decoder),
                dict(input_nc=shapes["encoder.0.conv.weight"][1], output_nc=shapes["image.weight"][0], norm=norm))

    @staticmethod
    def ambiguous_settings(config: Mapping) -> dict[str, tuple]:
        """What no key tells, and its possible values: the loader takes it from a flag, here ``--no_dropout``."""
        return {"dropout": (False, True)}


def _check(arch: Arch) -> None:
    """Refuse architectures that cannot be built; files of users come through here."""
    if not all(isinstance(value, tuple) and value for value in arch.fields.values()) or 0 in arch.widths:
        raise ValueError("'encoder', 'inner' and 'decoder' of a resize_unet are lists of positive widths")
    if len(arch.encoder) != len(arch.decoder) + 1:
        raise ValueError(f"a resize_unet of {len(arch.decoder)} 'decoder' widths has one 'encoder' width more, "
                         f"got {len(arch.encoder)}")


def _full(blocks: int):
    """--ngf -> the architecture of the original."""
    return lambda ngf: Arch("resize_unet", encoder=(ngf, 2 * ngf, 4 * ngf), inner=(4 * ngf,) * blocks,
                            decoder=(2 * ngf, ngf))


# The search space: for every position of a field its widths at --ngf 64, ascending; other --ngf scale them.
W64, W128, W256 = (8, 16, 24, 32, 48, 64), (16, 24, 32, 48, 64, 96, 128), (16, 24, 32, 48, 64, 96, 128, 192, 256)

register(Family(
    name="resize_unet",
    fields={"encoder": Field(lambda i: (W64, W128, W256)[min(i, 2)]),
            "inner": Field(lambda i: W256, min_length=2),  # from 2 blocks to as many as the original has
            "decoder": Field(lambda i: (W128, W64)[min(i, 1)])},
    generator=ResizeUnetGenerator,
    full={"resize_unet": _full(6), "resize_unet_9blocks": _full(9)},  # values of --netG
    check=_check, norm="instance", objective=Pix2PixObjective))  # the default of --norm

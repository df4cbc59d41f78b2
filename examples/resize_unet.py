"""An example of a user-defined generator family in one file.

Copy it into compression/generators/ and adapt it. The generator is a U-Net with strided convolutions,
residual blocks at the lowest resolution, and nearest-neighbor upsampling followed by ordinary convolutions.
docs/own_generator.md explains every part.
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
    """A 3x3 convolution followed by a norm.

    The constructor gets the full widths. Each call states the number of output channels; the input tensor
    gives the number of input channels.
    """

    def __init__(self, in_width: int | tuple[int, ...], width: int, norm: str, stride: int = 1):
        super().__init__()
        self.conv = ElasticConv2d(in_width, width, 3, stride=stride, padding=1, bias=norm == "none")
        self.norm = make_norm(norm, width)

    def forward(self, x, out: int, is_full: bool) -> Tensor:
        return self.norm(self.conv(x, out), is_full)


class Block(nn.Module):
    """A residual block. Its output has the width of its input; the width inside the block is free."""

    def __init__(self, trunk: int, inner: int, norm: str):
        super().__init__()
        self.first = ConvNorm(trunk, inner, norm)
        self.second = ConvNorm(inner, trunk, norm)

    def forward(self, x: Tensor, inner: int, is_full: bool) -> Tensor:
        return x + self.second(F.relu(self.first(x, inner, is_full)), x.shape[1], is_full)


class ResizeUnetGenerator(ElasticGenerator):
    """A U-Net that upsamples by resizing.

    ``encoder[0]`` is the width at full resolution and ``encoder[i]`` the width after strided convolution i.
    ``inner`` has the widths inside the residual blocks, one per block. ``decoder[i]`` is the width after
    i + 1 upsampling steps.

    Taps: ``middle`` before the blocks, ``blocks`` after them, ``up.<i>`` in the decoder.
    """

    family = "resize_unet"  # the name of the family in architecture files and in the registration below
    extra_settings = ("dropout",)  # constructor arguments in addition to the four that every family has
    min_strides = 2  # instance norm needs more than one pixel at the lowest resolution

    def __init__(self, full: Arch, input_nc: int = 3, output_nc: int = 3, norm: str = "instance",
                 dropout: bool = False):
        # these arguments become self.config
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm, dropout=dropout)
        encoder, inner, decoder = full.encoder, full.inner, full.decoder
        self.stride = 2 ** len(decoder)  # the sides of images must be multiples of it
        self.encoder = nn.ModuleList()
        for i, width in enumerate(encoder):
            in_width = encoder[i - 1] if i else input_nc
            self.encoder.append(ConvNorm(in_width, width, norm, stride=2 if i else 1))
        self.blocks = nn.ModuleList(Block(encoder[-1], width, norm) for width in inner)
        # each layer has two inputs, the lower level and the skip connection, and slices them separately
        self.decoder = nn.ModuleList()
        for i, width in enumerate(decoder):
            lower = decoder[i - 1] if i else encoder[-1]
            self.decoder.append(ConvNorm((lower, encoder[-2 - i]), width, norm))
        self.image = ElasticConv2d(decoder[-1], output_nc, 7, padding=3)

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap) -> Tensor:
        """Compute the image. All widths and depths come from `arch`, none from self.full.

        `is_full` states whether `arch` is the full size. Running statistics of norms and dropout belong to
        the full size only.
        """
        skips = []
        for layer, width in zip(self.encoder, arch.encoder, strict=True):
            x = F.relu(layer(x, width, is_full))
            skips.append(x)
        x = tap("middle", skips.pop())  # returns x, and stores it if the caller asked for this activation
        for block, width in zip(self.blocks, arch.inner, strict=False):  # elastic depth: the first blocks
            x = block(x, width, is_full)
        x = tap("blocks", x)
        if self.config["dropout"] and is_full:
            x = F.dropout(x, 0.5, self.training)
        for i, (layer, width) in enumerate(zip(self.decoder, arch.decoder, strict=True)):
            up = F.interpolate(x, scale_factor=2, mode="nearest")
            x = tap(f"up.{i}", F.relu(layer((up, skips.pop()), width, is_full)))
        return self.image(x).tanh()

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        """Return the activations that distillation compares.

        They exist in every architecture, with the same height and width.
        """
        return "middle", "blocks", "up.0"

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Arch, dict] | None:
        """Determine the architecture and the constructor arguments from the keys and shapes of a checkpoint.

        Returns:
            The architecture and the arguments, or None if the checkpoint is from another family.
        """
        def widths(key: str) -> tuple[int, ...]:
            out_channels = []
            while shape := shapes.get(key.format(len(out_channels))):
                out_channels.append(shape[0])
            return tuple(out_channels)

        encoder = widths("encoder.{}.conv.weight")
        inner = widths("blocks.{}.first.conv.weight")
        decoder = widths("decoder.{}.conv.weight")
        if not (encoder and inner and decoder) or "image.weight" not in shapes:
            return None
        if "encoder.0.norm.weight" in shapes:
            norm = "batch"
        elif "encoder.0.conv.bias" in shapes:
            norm = "none"
        else:
            norm = "instance"  # it has no keys, and the convolutions before it have no bias
        config = {"input_nc": shapes["encoder.0.conv.weight"][1], "output_nc": shapes["image.weight"][0],
                  "norm": norm}
        return Arch("resize_unet", encoder=encoder, inner=inner, decoder=decoder), config

    @staticmethod
    def ambiguous_settings(config: Mapping) -> dict[str, tuple]:
        """The settings that keys and shapes do not determine, with their possible values.

        The loader reads them from flags, here ``--no_dropout``.
        """
        return {"dropout": (False, True)}


def _check(arch: Arch) -> None:
    """Raise a ValueError if the architecture, which may come from a user's file, cannot be built."""
    if not all(isinstance(value, tuple) and value for value in arch.fields.values()) or 0 in arch.widths:
        raise ValueError("'encoder', 'inner', and 'decoder' of a resize_unet need lists of positive widths")
    if len(arch.encoder) != len(arch.decoder) + 1:
        raise ValueError(f"a resize_unet with {len(arch.decoder)} 'decoder' widths must have "
                         f"{len(arch.decoder) + 1} 'encoder' widths, got {len(arch.encoder)}")


def _full(blocks: int):
    """Return the function from --ngf to the architecture of the original."""
    return lambda ngf: Arch("resize_unet", encoder=(ngf, 2 * ngf, 4 * ngf), inner=(4 * ngf,) * blocks,
                            decoder=(2 * ngf, ngf))


# The search space: the widths of every position of a field at --ngf 64, ascending. Other --ngf scale them.
W64 = (8, 16, 24, 32, 48, 64)
W128 = (16, 24, 32, 48, 64, 96, 128)
W256 = (16, 24, 32, 48, 64, 96, 128, 192, 256)

register(Family(
    name="resize_unet",
    fields={"encoder": Field(lambda i: (W64, W128, W256)[min(i, 2)]),
            "inner": Field(lambda i: W256, min_length=2),  # from 2 blocks to as many as the original has
            "decoder": Field(lambda i: (W128, W64)[min(i, 1)])},
    generator=ResizeUnetGenerator,
    full={"resize_unet": _full(6), "resize_unet_9blocks": _full(9)},  # values of --netG
    check=_check,
    norm="instance",  # the default of --norm
    objective=Pix2PixObjective))

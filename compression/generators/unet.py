"""Pix2Pix U-Net generator (Isola et al., CVPR 2017, as the host has it), elastic in width and levels."""
from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.families import Family, Field, register
from ..elastic.layers import ElasticConv2d, ElasticConvTranspose2d, NoNorm, make_norm
from ..elastic.generator import ElasticGenerator
from ..originals.objectives import Pix2PixObjective
from .widths import W64, W128, W256, W512


class UnetLevel(nn.Module):
    """One level: down to half the size, the levels inside, up again; the outside sees its input beside its output.

    Upstream's module order fixes the keys: (leaky relu) down, norm, inner level, (relu) up, norm, dropout, where the
    outermost level has neither leading activation nor norms and the innermost no inner level and no norm after down.
    """

    def __init__(self, outer: int, width: int, up_in: tuple[int, ...], up_out: int, norm: str, dropout: bool,
                 inner: UnetLevel | None, outermost: bool):
        super().__init__()
        bias = norm == "instance"
        down = ElasticConv2d(outer, width, 4, stride=2, padding=1, bias=bias)
        up = ElasticConvTranspose2d(up_in, up_out, 4, stride=2, padding=1, bias=bias or outermost)
        self.outermost = outermost
        if outermost:
            names = {"down": ("0", down), "inner": ("1", inner), "up": ("3", up)}
        elif inner is None:
            names = {"down": ("1", down), "up": ("3", up), "up_norm": ("4", make_norm(norm, up_out))}
        else:
            names = {"down": ("1", down), "down_norm": ("2", make_norm(norm, width)), "inner": ("3", inner),
                     "up": ("5", up), "up_norm": ("6", make_norm(norm, up_out))}
        if dropout:
            names["dropout"] = ("7", nn.Dropout(0.5))
        self.model = nn.ModuleDict(dict(names.values()))
        self.keys = {name: key for name, (key, _) in names.items()}

    def layer(self, name: str) -> nn.Module:
        return self.model[self.keys[name]] if name in self.keys else NoNorm()

    def forward(self, x: Tensor, arch: Arch, level: int, is_full: bool, tap, output_nc: int | None = None) -> Tensor:
        """Input of this level -> output of its up-convolution, of the same size as the input."""
        last = level == len(arch.encoder) - 1
        h = self.layer("down")(x if self.outermost else F.leaky_relu(x, 0.2), arch.encoder[level])
        if not last:  # the innermost running level has no norm here, wherever the network was cut
            h = tap(f"encoder.{level}", self.layer("down_norm")(h, is_full))
            h = (F.relu(h), F.relu(self.layer("inner")(h, arch, level + 1, is_full, tap)))
        else:
            h = (F.relu(tap(f"encoder.{level}", h)),)
        if self.outermost:
            return self.layer("up")(h, output_nc)
        h = tap(f"decoder.{level - 1}", self.layer("up_norm")(self.layer("up")(h, arch.decoder[level - 1]), is_full))
        return self.layer("dropout")(h) if is_full else h


class UnetGenerator(ElasticGenerator):
    """Levels with skip connections; a smaller number of levels drops the innermost ones.

    ``encoder[k]`` is the width after the down-convolution of level k, ``decoder[k]`` that of the up-convolution whose
    output joins it. Taps: ``encoder.<k>``, ``decoder.<k>``.
    """

    family = "unet"
    extra_settings = ("dropout",)

    def __init__(self, full: Arch, input_nc: int = 3, output_nc: int = 3, norm: str = "batch", dropout: bool = False):
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm, dropout=dropout)
        encoder, decoder = full.encoder, full.decoder
        self.stride = 2 ** len(encoder)
        level = None
        for k in reversed(range(len(encoder))):
            up_in = (encoder[k],) if level is None else (encoder[k], decoder[k])
            # upstream drops out in the up-path of the levels of full width that have a level inside
            level = UnetLevel(encoder[k - 1] if k else input_nc, encoder[k], up_in, decoder[k - 1] if k else output_nc,
                              norm, dropout and level is not None and k >= 4, level, outermost=k == 0)
        self.model = level

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap) -> Tensor:
        return self.model(x, arch, 0, is_full, tap).tanh()

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        return tuple(f"decoder.{k}" for k in (3, 2, 1, 0))

    @staticmethod
    def ambiguous_settings(config: Mapping) -> dict[str, tuple]:
        return {"dropout": (False, True)}

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Arch, dict] | None:
        def level(k: int) -> str:
            return "model.model." + ("1.model." + "3.model." * (k - 1) if k else "")

        down, up = [shapes.get(level(0) + "0.weight")], [shapes.get(level(0) + "3.weight")]
        while (shape := shapes.get(level(len(down)) + "1.weight")) is not None and len(shape) == 4:
            innermost = level(len(down)) + "5.weight" not in shapes
            up.append(shapes.get(level(len(down)) + ("3.weight" if innermost else "5.weight")))
            down.append(shape)
        if None in down or None in up or len(down) < 5:
            return None
        arch = Arch("unet", encoder=tuple(s[0] for s in down), decoder=tuple(s[1] for s in up[1:]))
        norm = ("instance" if level(1) + "1.bias" in shapes else
                "batch" if level(1) + "2.weight" in shapes else "none")
        return arch, dict(input_nc=down[0][1], output_nc=up[0][1], norm=norm)  # dropout leaves no key here


def _check(arch: Arch) -> None:
    if not isinstance(arch.encoder, tuple) or len(arch.encoder) < 5:
        raise ValueError(f"a unet has at least 5 'encoder' widths (levels), got {arch.encoder}")
    if not isinstance(arch.decoder, tuple) or len(arch.decoder) != len(arch.encoder) - 1:
        raise ValueError(f"a unet of {len(arch.encoder)} levels has {len(arch.encoder) - 1} 'decoder' widths, "
                         f"got {arch.decoder}")
    if 0 in arch.widths:
        raise ValueError("widths of a unet are positive, got 0")


def _full(levels: int):
    def full(ngf: int) -> Arch:
        encoder = tuple(ngf * min(2 ** k, 8) for k in range(levels))
        return Arch("unet", encoder=encoder, decoder=encoder[:-1])
    return full


def _tied_decoder(fields: Mapping) -> tuple[int, ...]:
    return tuple(fields["encoder"][:-1])


register(Family(
    name="unet",
    fields={"encoder": Field(lambda k: (W64, W128, W256, W512)[min(k, 3)], min_length=5),
            "decoder": Field(tied=_tied_decoder)},
    generator=UnetGenerator, full={"unet_256": _full(8), "unet_128": _full(7)}, check=_check, norm="batch", objective=Pix2PixObjective))

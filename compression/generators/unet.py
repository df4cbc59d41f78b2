"""Pix2Pix's U-Net generator (Isola et al., CVPR 2017, as in upstream's code), elastic in width and levels."""
from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.families import Family, Field, register
from ..elastic.generator import ElasticGenerator, Tap
from ..elastic.layers import ElasticConv2d, ElasticConvTranspose2d, NoNorm, Shapes, infer_norm, make_norm
from ..originals.objectives import Pix2PixObjective
from .widths import W64, W128, W256, W512

_WIDTHS = (W64, W128, W256, W512)


class UnetLevel(nn.Module):
    """One level: a down-convolution, the inner levels, and an up-convolution.

    The enclosing level concatenates the output with the input of this level. Upstream's module order
    determines the
    keys: (leaky ReLU) down, norm, inner level, (ReLU) up, norm, dropout. The outermost level has no
    activation before the down-convolution and no norms; the innermost level has no inner level and no norm
    after the down-convolution.

    Args:
        outer: number of input channels.
        width: channels after the down-convolution.
        up_in: channels of each input of the up-convolution.
        up_out: channels after the up-convolution.
        norm: ``--norm``.
        dropout: whether dropout follows the up-convolution.
        inner: the next level inside, None in the innermost level.
        outermost: whether this is the outermost level.
    """

    def __init__(self, outer: int, width: int, up_in: tuple[int, ...], up_out: int, norm: str, dropout: bool,
                 inner: UnetLevel | None, outermost: bool):
        super().__init__()
        bias = norm == "instance"
        down = ElasticConv2d(outer, width, 4, stride=2, padding=1, bias=bias)
        up = ElasticConvTranspose2d(up_in, up_out, 4, stride=2, padding=1, bias=bias or outermost)
        self.outermost = outermost
        layers: dict[str, tuple[str, nn.Module]]  # name -> (upstream's key, layer)
        if inner is None:
            layers = {"down": ("1", down), "up": ("3", up), "up_norm": ("4", make_norm(norm, up_out))}
        elif outermost:
            layers = {"down": ("0", down), "inner": ("1", inner), "up": ("3", up)}
        else:
            layers = {"down": ("1", down), "down_norm": ("2", make_norm(norm, width)), "inner": ("3", inner),
                      "up": ("5", up), "up_norm": ("6", make_norm(norm, up_out))}
        if dropout:
            layers["dropout"] = ("7", nn.Dropout(0.5))
        self.model = nn.ModuleDict(dict(layers.values()))
        self.keys = {name: key for name, (key, _) in layers.items()}

    def layer(self, name: str) -> nn.Module:
        """Return a layer by name; an identity if this level has no such layer."""
        return self.model[self.keys[name]] if name in self.keys else NoNorm()

    def forward(self, x: Tensor, arch: Arch, level: int, is_full: bool, tap: Tap,
                output_nc: int | None = None) -> Tensor:
        """Run this level and the levels inside it.

        Args:
            x: (N, C, H, W), the input of this level.
            arch: the widths; their number is the number of levels that run.
            level: index of this level, 0 is the outermost.
            is_full, tap: as in :meth:`ElasticGenerator.run`.
            output_nc: output channels of the outermost level; None is the full width.

        Returns:
            The output of the up-convolution, (N, C', H, W).
        """
        innermost = level == len(arch.encoder) - 1
        h = self.layer("down")(x if self.outermost else F.leaky_relu(x, 0.2), arch.encoder[level])
        up_inputs: tuple[Tensor, ...]
        if innermost:  # no norm here, also where this level of the full network has one
            up_inputs = (F.relu(tap(f"encoder.{level}", h)),)
        else:
            h = tap(f"encoder.{level}", self.layer("down_norm")(h, is_full))
            up_inputs = (F.relu(h), F.relu(self.layer("inner")(h, arch, level + 1, is_full, tap)))
        if self.outermost:
            return self.layer("up")(up_inputs, output_nc)
        h = self.layer("up_norm")(self.layer("up")(up_inputs, arch.decoder[level - 1]), is_full)
        h = tap(f"decoder.{level - 1}", h)
        return self.layer("dropout")(h) if is_full else h


class UnetGenerator(ElasticGenerator):
    """Levels with skip connections; a sub-network with fewer levels drops the innermost ones.

    ``encoder[k]`` is the width after the down-convolution of level k; ``decoder[k]`` is the width after the
    up-convolution whose output is concatenated with it. Taps: ``encoder.<k>``, ``decoder.<k>``.
    """

    family = "unet"
    extra_settings = ("dropout",)

    def __init__(self, full: Arch, input_nc: int = 3, output_nc: int = 3, norm: str = "batch",
                 dropout: bool = False):
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm, dropout=dropout)
        encoder, decoder = full.encoder, full.decoder
        self.stride = 2 ** len(encoder)
        level: UnetLevel | None = None
        for k in reversed(range(len(encoder))):
            level = UnetLevel(outer=encoder[k - 1] if k else input_nc, width=encoder[k],
                              up_in=(encoder[k],) if level is None else (encoder[k], decoder[k]),
                              up_out=decoder[k - 1] if k else output_nc, norm=norm,
                              # as upstream: dropout in the levels of full width, except the innermost
                              dropout=dropout and level is not None and k >= 4,
                              inner=level, outermost=k == 0)
        assert level is not None
        self.model = level

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap: Tap) -> Tensor:
        return self.model(x, arch, 0, is_full, tap).tanh()

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        return tuple(f"decoder.{k}" for k in (3, 2, 1, 0))

    @staticmethod
    def ambiguous_settings(config: Mapping) -> dict[str, tuple]:
        return {"dropout": (False, True)}  # dropout has no key in a U-Net

    @staticmethod
    def read_architecture(shapes: Shapes) -> tuple[Arch, dict] | None:
        def prefix(level: int) -> str:
            return "model.model." + ("1.model." + "3.model." * (level - 1) if level else "")

        downs = [shapes.get(prefix(0) + "0.weight")]
        ups = [shapes.get(prefix(0) + "3.weight")]
        while (down := shapes.get(prefix(len(downs)) + "1.weight")) is not None and len(down) == 4:
            innermost = prefix(len(downs)) + "5.weight" not in shapes
            ups.append(shapes.get(prefix(len(downs)) + ("3.weight" if innermost else "5.weight")))
            downs.append(down)
        down_shapes = [shape for shape in downs if shape is not None]
        up_shapes = [shape for shape in ups if shape is not None]
        if len(down_shapes) < len(downs) or len(up_shapes) < len(ups) or len(downs) < 5:
            return None
        arch = Arch("unet", encoder=tuple(shape[0] for shape in down_shapes),
                    decoder=tuple(shape[1] for shape in up_shapes[1:]))
        norm = infer_norm(shapes, conv=prefix(1) + "1", norm=prefix(1) + "2")
        return arch, {"input_nc": down_shapes[0][1], "output_nc": up_shapes[0][1], "norm": norm}


def _check(arch: Arch) -> None:
    if not isinstance(arch.encoder, tuple) or len(arch.encoder) < 5:
        raise ValueError(f"a unet has at least 5 'encoder' widths (levels), got {arch.encoder}")
    if not isinstance(arch.decoder, tuple) or len(arch.decoder) != len(arch.encoder) - 1:
        raise ValueError(f"a unet of {len(arch.encoder)} levels has {len(arch.encoder) - 1} 'decoder' "
                         f"widths, got {arch.decoder}")
    if 0 in arch.widths:
        raise ValueError("widths of a unet are positive, got 0")


def _full(levels: int) -> Callable[[int], Arch]:
    """Return the function from ``--ngf`` to the full architecture with this number of levels."""
    def full(ngf: int) -> Arch:
        encoder = tuple(ngf * min(2 ** k, 8) for k in range(levels))
        return Arch("unet", encoder=encoder, decoder=encoder[:-1])
    return full


def _tied_decoder(fields: Mapping) -> tuple[int, ...]:
    return tuple(fields["encoder"][:-1])


register(Family(
    name="unet",
    fields={"encoder": Field(lambda k: _WIDTHS[min(k, 3)], min_length=5),
            "decoder": Field(tied=_tied_decoder)},
    generator=UnetGenerator, full={"unet_256": _full(8), "unet_128": _full(7)}, check=_check, norm="batch",
    objective=Pix2PixObjective))

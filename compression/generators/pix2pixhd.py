"""Pix2PixHD's generators (Wang et al., CVPR 2018): the global generator, and local enhancers around it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.families import Family, Field, register
from ..elastic.generator import ElasticGenerator, Tap
from ..elastic.layers import ElasticConv2d, Shapes, make_norm
from ..originals.objectives import Pix2PixHDObjective
from .resnet import Chain, ConvResnetGenerator, ResnetBlock, check_lengths, read_chain, up_convolution
from .widths import W64, W128, W256, W512, W1024

_WIDTHS = (W64, W128, W256, W512, W1024)


def _norm_of(shapes: Shapes) -> str:
    return "batch" if "model.2.weight" in shapes else "instance"


class Pix2PixHDGenerator(ConvResnetGenerator):
    """The global generator: four strided convolutions by default; every convolution has a bias.

    ``encoder[0]`` is the width of the stem and ``encoder[i]`` that of strided convolution i; the last one is
    also the width of the inputs and outputs of the blocks. ``inner`` are the widths inside the blocks,
    ``decoder[i]`` is the width of transposed convolution i.
    """

    family = "pix2pixhd"

    def __init__(self, full: Arch, input_nc: int = 36, output_nc: int = 3, norm: str = "instance"):
        super().__init__(full, input_nc, output_nc, norm)

    @staticmethod
    def widths(arch: Arch) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        return arch.encoder, arch.inner, arch.decoder

    @staticmethod
    def has_bias(norm: str) -> bool:
        return True

    @staticmethod
    def read_architecture(shapes: Shapes) -> tuple[Arch, dict] | None:
        widths_and_channels = ConvResnetGenerator.read_widths(shapes)
        if widths_and_channels is None or "model.1.bias" not in shapes:
            return None
        chain, channels = widths_and_channels
        arch = Arch("pix2pixhd", encoder=chain.encoder, inner=chain.inner, decoder=chain.decoder)
        return arch, {**channels, "norm": _norm_of(shapes)}


class Pix2PixHDLocalGenerator(ElasticGenerator):
    """A global generator at low resolution inside local enhancers, each of which doubles height and width.

    The fields `encoder`, `inner` and `decoder` are those of the global generator. `local_stem` (7x7
    convolution) and `local_up` (transposed convolution) have one width for each enhancer, starting with the
    innermost; `local_inner` has the widths inside the blocks of all enhancers in the same order. The strided
    convolution of an enhancer has the width of the features to which it is added. Taps: those of the global
    generator, and ``local.<n>``, the output of enhancer n.
    """

    family = "pix2pixhd_local"
    min_strides = 2  # the blocks pad by reflection

    def __init__(self, full: Arch, input_nc: int = 36, output_nc: int = 3, norm: str = "instance"):
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm)
        self.stride = 2 ** (len(full.decoder) + len(full.local_stem))
        self.model = Chain(input_nc, full.encoder, full.inner, full.decoder, norm, True)
        for n, (stem, up) in enumerate(zip(full.local_stem, full.local_up, strict=True)):
            trunk = _trunk_width(full, n)
            inner = _inner_widths(full, n)
            self.add_module(f"model{n + 1}_1", nn.ModuleDict({
                "1": ElasticConv2d(input_nc, stem, 7), "2": make_norm(norm, stem),
                "4": ElasticConv2d(stem, trunk, 3, stride=2, padding=1), "5": make_norm(norm, trunk)}))
            layers: dict[str, nn.Module] = {}
            for i, width in enumerate(inner):
                layers[str(i)] = ResnetBlock(trunk, width, norm, True)
            layers[str(len(inner))] = up_convolution(trunk, up, True)
            layers[str(len(inner) + 1)] = make_norm(norm, up)
            if n == len(full.local_stem) - 1:
                layers[str(len(inner) + 4)] = ElasticConv2d(up, output_nc, 7)
            self.add_module(f"model{n + 1}_2", nn.ModuleDict(layers))

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap: Tap) -> Tensor:
        pyramid = [x]
        for _ in arch.local_stem:
            pyramid.append(F.avg_pool2d(pyramid[-1], 3, stride=2, padding=1, count_include_pad=False))
        h = self.model(pyramid.pop(), arch.encoder, arch.inner, arch.decoder, is_full, tap)
        for n in range(len(arch.local_stem)):
            h = tap(f"local.{n}", self._enhance(n, pyramid.pop(), h, arch, is_full))
        outermost = self._layers(f"model{len(arch.local_stem)}_2")
        image_layer = outermost[str(len(_inner_widths(arch, 0)) + 4)]
        return image_layer(F.pad(h, (3,) * 4, "reflect")).tanh()

    def _layers(self, name: str) -> nn.ModuleDict:
        layers = self.get_submodule(name)
        assert isinstance(layers, nn.ModuleDict)
        return layers

    def _enhance(self, n: int, x: Tensor, h: Tensor, arch: Arch, is_full: bool) -> Tensor:
        """Run enhancer n.

        Args:
            n: index of the enhancer, 0 is the innermost.
            x: (N, input_nc, H, W), the input at the enhancer's resolution.
            h: (N, C, H / 2, W / 2), the features of the networks inside.
            arch: the widths.
            is_full: whether `arch` is the full architecture.

        Returns:
            (N, arch.local_up[n], H, W).
        """
        down = self._layers(f"model{n + 1}_1")
        up = self._layers(f"model{n + 1}_2")
        inner = _inner_widths(arch, n)
        detail = down["1"](F.pad(x, (3,) * 4, "reflect"), arch.local_stem[n])
        detail = F.relu(down["2"](detail, is_full))
        h = h + F.relu(down["5"](down["4"](detail, h.shape[1]), is_full))
        for i, width in enumerate(inner):
            h = up[str(i)](h, width, is_full)
        h = up[str(len(inner))](h, arch.local_up[n])
        return F.relu(up[str(len(inner) + 1)](h, is_full))

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        depth = len((arch or self.full).inner)
        return (*(f"trunk.{round(i * depth / 3)}" for i in range(4)), "local.0")

    @staticmethod
    def read_architecture(shapes: Shapes) -> tuple[Arch, dict] | None:
        chain = read_chain(shapes)
        if chain is None:
            return None
        stems: list[int] = []
        inner: list[int] = []
        ups: list[int] = []
        image = None
        while stem := shapes.get(f"model{len(stems) + 1}_1.1.weight"):
            stems.append(stem[0])
            prefix = f"model{len(stems)}_2."
            blocks = 0
            while block := shapes.get(f"{prefix}{blocks}.conv_block.1.weight"):
                inner.append(block[0])
                blocks += 1
            up = shapes.get(f"{prefix}{blocks}.weight")
            if up is None:
                return None
            ups.append(up[1])
            image = shapes.get(f"{prefix}{blocks + 4}.weight")
        if image is None or len(inner) % len(stems):
            return None
        arch = Arch("pix2pixhd_local", encoder=chain.encoder, inner=chain.inner, decoder=chain.decoder,
                    local_stem=stems, local_inner=inner, local_up=ups)
        return arch, {"input_nc": shapes["model.1.weight"][1], "output_nc": image[0],
                      "norm": _norm_of(shapes)}


def _trunk_width(arch: Arch, n: int) -> int:
    """Return the width of the features to which enhancer n adds its own."""
    return arch.local_up[n - 1] if n else arch.decoder[-1]


def _inner_widths(arch: Arch, n: int) -> tuple[int, ...]:
    """Return the widths inside the blocks of enhancer n."""
    blocks = len(arch.local_inner) // len(arch.local_stem)
    return arch.local_inner[n * blocks:(n + 1) * blocks]


def _check(arch: Arch) -> None:
    downs = len(arch.encoder) - 1 if isinstance(arch.encoder, tuple) else 1
    check_lengths(arch, encoder=None, inner=None, decoder=downs)


def _check_local(arch: Arch) -> None:
    _check(arch)
    enhancers = len(arch.local_stem) if isinstance(arch.local_stem, tuple) else 1
    check_lengths(arch, local_stem=None, local_inner=None, local_up=enhancers)
    if len(arch.local_inner) % enhancers:
        raise ValueError("every enhancer of a pix2pixhd_local has the same number of blocks, "
                         f"got {len(arch.local_inner)} 'local_inner' widths for {enhancers} enhancers")


def _global_fields(ngf: int, downs: int, blocks: int) -> dict:
    """Compute the fields of a full-size global generator."""
    encoder = tuple(ngf * 2 ** i for i in range(downs + 1))
    return {"encoder": encoder, "inner": (encoder[-1],) * blocks, "decoder": encoder[-2::-1]}


def _full(ngf: int, n_downsample_global: int = 4, n_blocks_global: int = 9) -> Arch:
    return Arch("pix2pixhd", **_global_fields(ngf, n_downsample_global, n_blocks_global))


def _full_local(ngf: int, n_downsample_global: int = 4, n_blocks_global: int = 9, n_local_enhancers: int = 1,
                n_blocks_local: int = 3) -> Arch:
    outward = tuple(ngf * 2 ** n for n in reversed(range(n_local_enhancers)))
    inner = tuple(2 * width for width in outward for _ in range(n_blocks_local))
    return Arch("pix2pixhd_local", local_stem=outward, local_inner=inner, local_up=outward,
                **_global_fields(ngf * 2 ** n_local_enhancers, n_downsample_global, n_blocks_global))


def _global_flags(arch: Arch) -> dict:
    return {"n_downsample_global": len(arch.decoder), "n_blocks_global": len(arch.inner)}


def _local_flags(arch: Arch) -> dict:
    enhancers = len(arch.local_stem)
    return {**_global_flags(arch), "n_local_enhancers": enhancers,
            "n_blocks_local": len(arch.local_inner) // enhancers}


def _tied_decoder(fields: Mapping) -> tuple[int, ...]:
    return tuple(fields["encoder"][-2::-1])


def _tied_up(fields: Mapping) -> tuple[int, ...]:
    return tuple(fields["local_stem"])


def _encoder_choices(i: int) -> tuple[int, ...]:
    return _WIDTHS[min(i, 4)]


_GLOBAL = register(Family(
    name="pix2pixhd",
    fields={"encoder": Field(_encoder_choices),
            "inner": Field(lambda i: W1024, min_length=3),
            "decoder": Field(tied=_tied_decoder)},
    generator=Pix2PixHDGenerator, full={"pix2pixhd": _full}, aliases={"global": "pix2pixhd"}, check=_check,
    flags={"n_downsample_global": 4, "n_blocks_global": 9}, flags_of=_global_flags,
    norm="instance", input_nc=36, size=(256, 512), semantic=True, netD="pix2pixhd",
    objective=Pix2PixHDObjective,
    defaults={"gan_mode": "lsgan", "preprocess": "scale_width", "load_size": 1024, "crop_size": 512}))

register(replace(
    _GLOBAL,
    name="pix2pixhd_local",
    fields={"encoder": Field(lambda i: _encoder_choices(i + 1)),
            "inner": Field(lambda i: W1024, min_length=3),
            "decoder": Field(tied=_tied_decoder),
            "local_stem": Field(lambda i: W64),
            "local_inner": Field(lambda i: W128),
            "local_up": Field(tied=_tied_up)},
    generator=Pix2PixHDLocalGenerator, full={"pix2pixhd_local": _full_local},
    aliases={"local": "pix2pixhd_local"},
    check=_check_local,
    flags={"n_downsample_global": 4, "n_blocks_global": 9, "n_local_enhancers": 1, "n_blocks_local": 3},
    flags_of=_local_flags, ngf=lambda arch: arch.local_stem[-1]))

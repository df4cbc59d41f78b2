"""Pix2PixHD's generators (Wang et al., CVPR 2018): the global one, and local enhancers around it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.families import Family, Field, register
from ..elastic.layers import ElasticConv2d, make_norm
from ..originals.objectives import Pix2PixHDObjective
from ..elastic.generator import ElasticGenerator
from .resnet import Chain, ConvResnetGenerator, ResnetBlock, check_lengths, read_chain, up_convolution
from .widths import W64, W128, W256, W512, W1024

_WIDTHS = (W64, W128, W256, W512, W1024)


def _norm_of(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return "batch" if "model.2.weight" in shapes else "instance"


class Pix2PixHDGenerator(ConvResnetGenerator):
    """The global generator: four strided convolutions by default; every convolution has a bias.

    ``encoder[0]`` is the width of the stem, ``encoder[i]`` that of strided convolution i, the last also that of the
    blocks outside; ``decoder[i]`` that of transposed convolution i.
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
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Arch, dict] | None:
        found = ConvResnetGenerator.read(shapes)
        if found is None or "model.1.bias" not in shapes:
            return None
        encoder, inner, decoder, config = found
        return Arch("pix2pixhd", encoder=encoder, inner=inner, decoder=decoder), {**config, "norm": _norm_of(shapes)}


class Pix2PixHDLocalGenerator(ElasticGenerator):
    """A global generator at a lower resolution inside local enhancers, each of which doubles the sides.

    Fields: `encoder`, `inner`, `decoder` of the global generator; for every enhancer, from the inside out, `local_stem`
    (7x7 convolution) and `local_up` (transposed convolution); `local_inner`, the blocks of one enhancer after the
    other. An enhancer's strided convolution has the width of what it is added to. Taps: those of the global generator,
    and ``local.<n>``, the output of enhancer n.
    """

    family = "pix2pixhd_local"
    min_strides = 2  # the blocks pad by reflection

    def __init__(self, full: Arch, input_nc: int = 36, output_nc: int = 3, norm: str = "instance"):
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm)
        self.stride = 2 ** (len(full.decoder) + len(full.local_stem))
        self.model = Chain(input_nc, full.encoder, full.inner, full.decoder, norm, True)
        for n, (stem, up) in enumerate(zip(full.local_stem, full.local_up)):
            trunk, inner = _joined(full, n), _inner(full, n)
            self.add_module(f"model{n + 1}_1", nn.ModuleDict({
                "1": ElasticConv2d(input_nc, stem, 7), "2": make_norm(norm, stem),
                "4": ElasticConv2d(stem, trunk, 3, stride=2, padding=1), "5": make_norm(norm, trunk)}))
            rest = {str(i): ResnetBlock(trunk, width, norm, True) for i, width in enumerate(inner)}
            rest |= {str(len(inner)): up_convolution(trunk, up, True), str(len(inner) + 1): make_norm(norm, up)}
            if n == len(full.local_stem) - 1:
                rest[str(len(inner) + 4)] = ElasticConv2d(up, output_nc, 7)
            self.add_module(f"model{n + 1}_2", nn.ModuleDict(rest))

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap) -> Tensor:
        pyramid = [x]
        for _ in arch.local_stem:
            pyramid.append(F.avg_pool2d(pyramid[-1], 3, stride=2, padding=1, count_include_pad=False))
        h = self.model(pyramid.pop(), arch.encoder, arch.inner, arch.decoder, is_full, tap)
        for n, (stem, up) in enumerate(zip(arch.local_stem, arch.local_up)):
            down, rest, inner = self.get_submodule(f"model{n + 1}_1"), self.get_submodule(f"model{n + 1}_2"), _inner(arch, n)
            detail = F.relu(down["2"](down["1"](F.pad(pyramid.pop(), (3,) * 4, "reflect"), stem), is_full))
            h = h + F.relu(down["5"](down["4"](detail, h.shape[1]), is_full))
            for i, width in enumerate(inner):
                h = rest[str(i)](h, width, is_full)
            h = tap(f"local.{n}", F.relu(rest[str(len(inner) + 1)](rest[str(len(inner))](h, up), is_full)))
        return rest[str(len(inner) + 4)](F.pad(h, (3,) * 4, "reflect")).tanh()

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        depth = len((arch or self.full).inner)
        return (*(f"trunk.{round(i * depth / 3)}" for i in range(4)), "local.0")

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Arch, dict] | None:
        found, stems, inner, ups = read_chain(shapes), [], [], []
        while found and (stem := shapes.get(f"model{len(stems) + 1}_1.1.weight")):
            stems.append(stem[0])
            rest, i = f"model{len(stems)}_2.", 0
            while (block := shapes.get(f"{rest}{i}.conv_block.1.weight")):
                inner.append(block[0])
                i += 1
            up, image = shapes.get(f"{rest}{i}.weight"), shapes.get(f"{rest}{i + 4}.weight")
            if up is None:
                return None
            ups.append(up[1])
        if not stems or image is None or len(inner) % len(stems):
            return None
        arch = Arch("pix2pixhd_local", encoder=found[0], inner=found[1], decoder=found[2], local_stem=tuple(stems),
                    local_inner=tuple(inner), local_up=tuple(ups))
        return arch, dict(input_nc=shapes["model.1.weight"][1], output_nc=image[0], norm=_norm_of(shapes))


def _joined(arch: Arch, n: int) -> int:
    """The width at which enhancer n joins what is inside it."""
    return arch.local_up[n - 1] if n else arch.decoder[-1]


def _inner(arch: Arch, n: int) -> tuple[int, ...]:
    """The widths inside the blocks of enhancer n."""
    blocks = len(arch.local_inner) // len(arch.local_stem)
    return arch.local_inner[n * blocks:(n + 1) * blocks]


def _check(arch: Arch) -> None:
    check_lengths(arch, encoder=None, inner=None, decoder=len(arch.encoder) - 1 if isinstance(arch.encoder, tuple) else 1)


def _check_local(arch: Arch) -> None:
    _check(arch)
    enhancers = len(arch.local_stem) if isinstance(arch.local_stem, tuple) else 1
    check_lengths(arch, local_stem=None, local_inner=None, local_up=enhancers)
    if len(arch.local_inner) % enhancers:
        raise ValueError(f"every enhancer of a pix2pixhd_local has the same number of blocks; {enhancers} enhancers "
                         f"cannot share {len(arch.local_inner)} 'local_inner' widths")


def _global_fields(ngf: int, downs: int, blocks: int) -> dict:
    encoder = tuple(ngf * 2 ** i for i in range(downs + 1))
    return dict(encoder=encoder, inner=(encoder[-1],) * blocks, decoder=encoder[-2::-1])


def _full(ngf: int, n_downsample_global: int = 4, n_blocks_global: int = 9) -> Arch:
    return Arch("pix2pixhd", **_global_fields(ngf, n_downsample_global, n_blocks_global))


def _full_local(ngf: int, n_downsample_global: int = 4, n_blocks_global: int = 9, n_local_enhancers: int = 1,
                n_blocks_local: int = 3) -> Arch:
    outward = [ngf * 2 ** n for n in reversed(range(n_local_enhancers))]
    return Arch("pix2pixhd_local", **_global_fields(ngf * 2 ** n_local_enhancers, n_downsample_global, n_blocks_global),
                local_stem=tuple(outward), local_inner=tuple(2 * w for w in outward for _ in range(n_blocks_local)),
                local_up=tuple(outward))


def _global_flags(arch: Arch) -> dict:
    return {"n_downsample_global": len(arch.decoder), "n_blocks_global": len(arch.inner)}


def _local_flags(arch: Arch) -> dict:
    enhancers = len(arch.local_stem)
    return {**_global_flags(arch), "n_local_enhancers": enhancers, "n_blocks_local": len(arch.local_inner) // enhancers}


def _tied_decoder(fields: Mapping) -> tuple[int, ...]:
    return tuple(fields["encoder"][-2::-1])


def _tied_up(fields: Mapping) -> tuple[int, ...]:
    return tuple(fields["local_stem"])


def _list(i: int) -> tuple[int, ...]:
    return _WIDTHS[min(i, 4)]


_SHARED = dict(norm="instance", input_nc=36, size=(256, 512), semantic=True, netD="pix2pixhd",
               objective=Pix2PixHDObjective,
               defaults={"gan_mode": "lsgan", "preprocess": "scale_width", "load_size": 1024, "crop_size": 512})

register(Family(
    name="pix2pixhd",
    fields={"encoder": Field(_list), "inner": Field(lambda i: W1024, min_length=3),
            "decoder": Field(tied=_tied_decoder)},
    generator=Pix2PixHDGenerator, full={"pix2pixhd": _full}, aliases={"global": "pix2pixhd"}, check=_check,
    flags={"n_downsample_global": 4, "n_blocks_global": 9}, flags_of=_global_flags, **_SHARED))

register(Family(
    name="pix2pixhd_local",
    fields={"encoder": Field(lambda i: _list(i + 1)), "inner": Field(lambda i: W1024, min_length=3),
            "decoder": Field(tied=_tied_decoder), "local_stem": Field(lambda i: W64),
            "local_inner": Field(lambda i: W128), "local_up": Field(tied=_tied_up)},
    generator=Pix2PixHDLocalGenerator, full={"pix2pixhd_local": _full_local}, aliases={"local": "pix2pixhd_local"},
    check=_check_local, flags={"n_downsample_global": 4, "n_blocks_global": 9, "n_local_enhancers": 1,
                               "n_blocks_local": 3},
    flags_of=_local_flags, ngf=lambda arch: arch.local_stem[-1], **_SHARED))

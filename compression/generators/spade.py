"""SPADE / GauGAN generator (Park et al., CVPR 2019), elastic in width, with middle blocks that can be skipped."""
from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.families import Family, Field, register
from ..elastic.layers import ElasticConv2d, ElasticLatent, make_norm
from ..originals.objectives import FeatureMatchingObjective
from ..originals.spectral_norm import add_spectral_norm
from ..elastic.generator import ElasticGenerator
from .widths import W64, W128, W256, W512, W1024

UPSAMPLING = {"normal": 5, "more": 6, "most": 7}  # how often the latent is doubled


class SpadeNorm(nn.Module):
    """A norm without parameters, then scale and shift computed from the label map, through one hidden layer."""

    def __init__(self, channels: int, hidden: int, label_nc: int, norm: str, kernel: int):
        super().__init__()
        self.param_free_norm = make_norm(norm, channels, affine=False)
        self.mlp_shared = nn.Sequential(ElasticConv2d(label_nc, hidden, kernel, padding=kernel // 2), nn.ReLU())
        self.mlp_gamma = ElasticConv2d(hidden, channels, kernel, padding=kernel // 2)
        self.mlp_beta = ElasticConv2d(hidden, channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, labels: Tensor, hidden: int, is_full: bool) -> Tensor:
        shared, c = F.relu(self.mlp_shared[0](labels, hidden)), x.shape[1]
        return self.param_free_norm(x, is_full) * (1 + self.mlp_gamma(shared, c)) + self.mlp_beta(shared, c)


class SpadeBlock(nn.Module):
    """Two convolutions with label-conditioned norms and a shortcut, learned where the width changes."""

    def __init__(self, before: int, inner: int, out: int, hidden: int, shortcut: bool, label_nc: int, norm: str,
                 kernel: int):
        super().__init__()
        self.conv_0, self.conv_1 = ElasticConv2d(before, inner, 3, padding=1), ElasticConv2d(inner, out, 3, padding=1)
        self.norm_0, self.norm_1 = (SpadeNorm(c, hidden, label_nc, norm, kernel) for c in (before, inner))
        if shortcut:
            self.conv_s = ElasticConv2d(before, out, 1, bias=False)
            self.norm_s = SpadeNorm(before, hidden, label_nc, norm, kernel)

    def forward(self, x: Tensor, labels: Tensor, inner: int, out: int, hidden: int, is_full: bool) -> Tensor:
        h = self.conv_0(F.leaky_relu(self.norm_0(x, labels, hidden, is_full), 0.2), inner)
        h = self.conv_1(F.leaky_relu(self.norm_1(h, labels, hidden, is_full), 0.2), out)
        return h + (self.conv_s(self.norm_s(x, labels, hidden, is_full), out) if hasattr(self, "conv_s") else x)


class SpadeGenerator(ElasticGenerator):
    """Blocks between nearest-neighbor upsamplings, from a latent map that a convolution makes of the shrunk label map.

    `trunk` is the width of the latent and of head and middle blocks outside, ``head_inner`` those inside (0 skips a
    middle block; its upsampling stays), ``up[i]`` that of up block i, ``hidden[i]`` that of the hidden layer of all
    norms of block i (head, middle, middle, ups). The latent's size follows from the input's: its sides divided by 32
    (`num_upsampling_layers` normal), 64 (more) or 128 (most); with `z_dim` it is made of a style code (N, z_dim) instead,
    for images `crop_size` wide. Taps: ``head``, ``middle.<i>``, ``up.<i>``.
    """

    family = "spade"
    extra_settings = ("num_upsampling_layers", "spectral", "z_dim", "crop_size", "aspect_ratio")

    def __init__(self, full: Arch, input_nc: int = 36, output_nc: int = 3, norm: str = "batch",
                 num_upsampling_layers: str | None = None, kernel: int = 3, spectral: bool = False, z_dim: int = 0,
                 crop_size: int | None = None, aspect_ratio: float = 1.0):
        if num_upsampling_layers is None:
            num_upsampling_layers = "most" if len(full.up) == 5 else "more"
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm,
                         num_upsampling_layers=num_upsampling_layers, kernel=kernel, spectral=spectral, z_dim=z_dim,
                         **(dict(crop_size=crop_size, aspect_ratio=aspect_ratio) if z_dim else {}))
        if num_upsampling_layers not in UPSAMPLING:
            raise ValueError(f"--num_upsampling_layers {num_upsampling_layers} is unknown, known: {', '.join(UPSAMPLING)}")
        if (num_upsampling_layers == "most") != (len(full.up) == 5):
            raise ValueError(f"--num_upsampling_layers {num_upsampling_layers} has {4 + (num_upsampling_layers == 'most')} "
                             f"'up' widths, the architecture has {len(full.up)}")
        self.stride = 2 ** UPSAMPLING[num_upsampling_layers]
        same = dict(label_nc=input_nc, norm=norm, kernel=kernel)
        self.fc = (ElasticLatent(z_dim, full.trunk, self.latent_size()) if z_dim else
                   ElasticConv2d(input_nc, full.trunk, 3, padding=1))
        for name, inner, hidden in zip(("head_0", "G_middle_0", "G_middle_1"), full.head_inner, full.hidden):
            if inner:
                self.add_module(name, SpadeBlock(full.trunk, inner, full.trunk, hidden, False, **same))
        for i, (before, out, hidden) in enumerate(zip((full.trunk, *full.up), full.up, full.hidden[3:])):
            self.add_module(f"up_{i}", SpadeBlock(before, out, out, hidden, True, **same))
        self.conv_img = ElasticConv2d(full.up[-1], output_nc, 3, padding=1)
        if spectral:
            for block in self.children():
                if isinstance(block, SpadeBlock):
                    add_spectral_norm(block.conv_0, block.conv_1, *([block.conv_s] if hasattr(block, "conv_s") else []))

    @property
    def example_input_size(self) -> tuple[int, int]:
        side = (2, 2) if not self.config["z_dim"] else self.fc.size
        return side[0] * self.stride, side[1] * self.stride

    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latent that a style code makes: with `z_dim` the size of the images is fixed."""
        if not self.config["crop_size"]:
            raise ValueError("a SPADE generator with a style code has one image size, give --crop_size and --aspect_ratio")
        width = self.config["crop_size"] // self.stride
        size = round(width / self.config["aspect_ratio"]), width
        if 0 in size:
            raise ValueError(f"--crop_size {self.config['crop_size']} with --aspect_ratio {self.config['aspect_ratio']} "
                             f"is too small: a latent of {size[0]}x{size[1]}")
        return size

    def latent(self, labels: Tensor, arch: Arch, z: Tensor | None) -> Tensor:
        """The latent, of the shrunk label map or of a style code (None: zeros, the mean of the prior)."""
        if not self.config["z_dim"]:
            return self.fc(labels, arch.trunk)
        if labels.shape[-2:] != self.fc.size:
            raise ValueError("this SPADE generator has a style code and takes images of "
                             f"{'x'.join(str(side * self.stride) for side in self.fc.size)} (HxW) alone")
        return self.fc(labels.new_zeros(len(labels), self.config["z_dim"]) if z is None else z, arch.trunk)

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap, z: Tensor | None = None) -> Tensor:
        labels = {x.shape[-2:]: x}  # the label map at every size, each shrunk once

        def labels_at(size) -> Tensor:
            if size not in labels:
                labels[size] = F.interpolate(x, size=tuple(size), mode="nearest")
            return labels[size]

        def block(name: str, h: Tensor, inner: int, out: int, hidden: int) -> Tensor:
            return self.get_submodule(name)(h, labels_at(h.shape[-2:]), inner, out, hidden, is_full) if inner else h

        def double(h: Tensor) -> Tensor:
            return F.interpolate(h, scale_factor=2, mode="nearest")

        (head, *middle), (head_hidden, *hidden) = arch.head_inner, arch.hidden
        h = self.latent(labels_at(type(x.shape)(side // self.stride for side in x.shape[-2:])), arch, z)
        h = double(tap("head", block("head_0", h, head, arch.trunk, head_hidden)))
        for i, inner in enumerate(middle):
            h = tap(f"middle.{i}", block(f"G_middle_{i}", h, inner, arch.trunk, hidden[i]))
            if i == 0 and self.config["num_upsampling_layers"] != "normal":
                h = double(h)
        for i, out in enumerate(arch.up):
            h = tap(f"up.{i}", block(f"up_{i}", double(h), out, out, hidden[2 + i]))
        return self.conv_img(F.leaky_relu(h, 0.2)).tanh()

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        return "head", "middle.1", "up.0", "up.2"

    @staticmethod
    def ambiguous_settings(config: Mapping) -> dict[str, tuple]:
        style = {"crop_size": (), "aspect_ratio": ()} if config["z_dim"] else {}
        return {"num_upsampling_layers": ("normal", "more"), **style}

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Arch, dict] | None:
        if any(f"{key}.weight" not in shapes for key in ("fc", "conv_img", "up_0.conv_0", "up_0.norm_0.mlp_shared.0")):
            return None

        def width(key: str) -> int:
            return shapes.get(f"{key}.weight", (0,))[0]

        ups = [name for name in (f"up_{i}" for i in range(5)) if width(f"{name}.conv_0")]
        blocks = ["head_0", "G_middle_0", "G_middle_1", *ups]
        shared = shapes["up_0.norm_0.mlp_shared.0.weight"]
        least = min(width(f"{b}.norm_0.mlp_shared.0") for b in blocks if width(f"{b}.conv_0"))
        fc = shapes["fc.weight"]
        trunk = shapes["head_0.conv_0.weight"][1]
        arch = Arch("spade", trunk=trunk, head_inner=tuple(width(f"{b}.conv_0") for b in blocks[:3]),
                    up=tuple(width(f"{b}.conv_0") for b in ups),
                    hidden=tuple(width(f"{b}.norm_0.mlp_shared.0") or least for b in blocks))
        norm = "batch" if "up_0.norm_0.param_free_norm.running_mean" in shapes else "instance"
        config = dict(input_nc=shared[1], output_nc=width("conv_img"), norm=norm, kernel=shared[2],
                      z_dim=fc[1] if len(fc) == 2 else 0)
        return arch, {**config, **({"num_upsampling_layers": "most"} if len(ups) == 5 else {})}  # others look alike


def _check(arch: Arch) -> None:
    for name in ("head_inner", "up", "hidden"):
        if not isinstance(getattr(arch, name), tuple):
            raise ValueError(f"a spade has several '{name}' widths, got {getattr(arch, name)}")
    if isinstance(arch.trunk, tuple):
        raise ValueError(f"a spade has one 'trunk' width, got {arch.trunk}")
    if len(arch.head_inner) != 3 or len(arch.up) not in (4, 5) or len(arch.hidden) != 3 + len(arch.up):
        raise ValueError("a spade has 3 'head_inner' widths, 4 'up' widths (5 with --num_upsampling_layers most) and a "
                         f"'hidden' width for each of these; got {len(arch.head_inner)}, {len(arch.up)}, {len(arch.hidden)}")
    if 0 in (arch.trunk, arch.head_inner[0], *arch.up, *arch.hidden):
        raise ValueError("widths of a spade are positive; only the middle blocks, head_inner[1] and [2], may be 0")


def _full(ngf: int, num_upsampling_layers: str = "more") -> Arch:
    if num_upsampling_layers not in UPSAMPLING:
        raise ValueError(f"--num_upsampling_layers {num_upsampling_layers} is unknown, known: {', '.join(UPSAMPLING)}")
    up = (8 * ngf, 4 * ngf, 2 * ngf, ngf) + ((max(1, ngf // 2),) if num_upsampling_layers == "most" else ())
    return Arch("spade", trunk=16 * ngf, head_inner=(16 * ngf,) * 3, up=up, hidden=(128,) * (3 + len(up)))


_UP = (W512, W256, W128, W64[1:], W64[:5])  # the last: up_4 of "most", full width 32

register(Family(
    name="spade",
    fields={"trunk": Field(lambda i: W1024, single=True),
            "head_inner": Field(lambda i: W1024, skippable=(1, 2)),
            "up": Field(lambda i: _UP[i]),
            "hidden": Field(lambda i: W128, scaled=False)},
    generator=SpadeGenerator, full={"spade": _full}, check=_check, norm="batch", input_nc=36, size=(256, 512),
    ngf=lambda arch: arch.up[3], semantic=True, netD="spade", objective=FeatureMatchingObjective,
    two_time_scales=True, defaults={"gan_mode": "hinge", "n_layers_D": 4, "init_type": "xavier"},
    flags={"num_upsampling_layers": "more"},
    flags_of=lambda arch: {"num_upsampling_layers": "most"} if len(arch.up) == 5 else {}))

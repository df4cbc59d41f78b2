"""SPADE / GauGAN generator (Park et al., CVPR 2019), elastic in width, with middle blocks that can be
skipped."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.families import Family, Field, register
from ..elastic.generator import ElasticGenerator, Tap
from ..elastic.layers import ElasticConv2d, ElasticLatent, Shapes, make_norm
from ..originals.objectives import FeatureMatchingObjective
from ..originals.spectral_norm import add_spectral_norm
from ..runtime.text import unknown
from .widths import W64, W128, W256, W512, W1024

UPSAMPLING = {"normal": 5, "more": 6, "most": 7}  # --num_upsampling_layers -> number of upsamplings by 2
_HEAD_BLOCKS = ("head_0", "G_middle_0", "G_middle_1")


class SpadeNorm(nn.Module):
    """Spatially-adaptive normalization: norm(x) * (1 + gamma(labels)) + beta(labels).

    The norm has no parameters; a convolution with ReLU is shared by gamma and beta, each of which is one more
    convolution.

    Args:
        channels: full width of the input.
        hidden: full width of the shared convolution.
        label_nc: channels of the label map.
        norm: ``--norm``.
        kernel: kernel size of the three convolutions.
    """

    def __init__(self, channels: int, hidden: int, label_nc: int, norm: str, kernel: int):
        super().__init__()
        self.param_free_norm = make_norm(norm, channels, affine=False)
        padding = kernel // 2
        self.mlp_shared = nn.Sequential(ElasticConv2d(label_nc, hidden, kernel, padding=padding), nn.ReLU())
        self.mlp_gamma = ElasticConv2d(hidden, channels, kernel, padding=padding)
        self.mlp_beta = ElasticConv2d(hidden, channels, kernel, padding=padding)

    def forward(self, x: Tensor, labels: Tensor, hidden: int, is_full: bool) -> Tensor:
        """Normalize x (N, C, H, W) with the label map (N, label_nc, H, W) and `hidden` shared channels."""
        shared = F.relu(self.mlp_shared[0](labels, hidden))
        c = x.shape[1]
        return self.param_free_norm(x, is_full) * (1 + self.mlp_gamma(shared, c)) + self.mlp_beta(shared, c)


class SpadeBlock(nn.Module):
    """Residual block with two convolutions, each after a :class:`SpadeNorm`, and a shortcut.

    Args:
        before, inner, out: full widths of the input, between the convolutions, and of the output.
        hidden, label_nc, norm, kernel: as in :class:`SpadeNorm`.
        shortcut: whether the shortcut is a norm and a 1x1 convolution instead of the identity.
    """

    def __init__(self, before: int, inner: int, out: int, hidden: int, shortcut: bool, label_nc: int,
                 norm: str, kernel: int):
        super().__init__()
        self.conv_0 = ElasticConv2d(before, inner, 3, padding=1)
        self.conv_1 = ElasticConv2d(inner, out, 3, padding=1)
        self.norm_0 = SpadeNorm(before, hidden, label_nc, norm, kernel)
        self.norm_1 = SpadeNorm(inner, hidden, label_nc, norm, kernel)
        if shortcut:
            self.conv_s = ElasticConv2d(before, out, 1, bias=False)
            self.norm_s = SpadeNorm(before, hidden, label_nc, norm, kernel)

    def forward(self, x: Tensor, labels: Tensor, inner: int, out: int, hidden: int, is_full: bool) -> Tensor:
        """Map x (N, C, H, W) to (N, out, H, W), given the label map (N, label_nc, H, W)."""
        h = self.conv_0(F.leaky_relu(self.norm_0(x, labels, hidden, is_full), 0.2), inner)
        h = self.conv_1(F.leaky_relu(self.norm_1(h, labels, hidden, is_full), 0.2), out)
        if hasattr(self, "conv_s"):
            x = self.conv_s(self.norm_s(x, labels, hidden, is_full), out)
        return h + x


class SpadeGenerator(ElasticGenerator):
    """Blocks with nearest-neighbor upsampling between them, which start from a small latent map.

    Fields: `trunk` is the width of the latent map and of the inputs and outputs of the head block and the two
    middle blocks; ``head_inner`` has the widths inside these three blocks, where 0 skips a middle block but
    keeps its upsampling; ``up[i]`` is the width of up block i; ``hidden[i]`` is the width of the shared
    convolutions in all norms of block i (head, two middle, up blocks).

    Height and width of the latent map are those of the input divided by 32 (`num_upsampling_layers` normal),
    64 (more) or 128 (most). The latent map is a convolution of the downscaled label map. With `z_dim` it is a
    linear function of a style code (N, z_dim) instead, and images must be `crop_size` wide. Taps: ``head``,
    ``middle.<i>``, ``up.<i>``.

    Args:
        full: the full-size architecture.
        input_nc: channels of the label map.
        output_nc: channels of the image.
        norm: ``--norm``.
        num_upsampling_layers: normal, more or most; None is most with five up blocks, else more.
        kernel: kernel size of the convolutions in the norms.
        spectral: whether the convolutions of the blocks have spectral norm.
        z_dim: length of the style code; 0 for none.
        crop_size: width of the images in pixels, for `z_dim` only.
        aspect_ratio: width / height of the images, for `z_dim` only.
    """

    family = "spade"
    extra_settings = ("num_upsampling_layers", "spectral", "z_dim", "crop_size", "aspect_ratio")

    def __init__(self, full: Arch, input_nc: int = 36, output_nc: int = 3, norm: str = "batch",
                 num_upsampling_layers: str | None = None, kernel: int = 3, spectral: bool = False,
                 z_dim: int = 0, crop_size: int | None = None, aspect_ratio: float = 1.0):
        if num_upsampling_layers is None:
            num_upsampling_layers = "most" if len(full.up) == 5 else "more"
        style_settings = {"crop_size": crop_size, "aspect_ratio": aspect_ratio} if z_dim else {}
        super().__init__(full, input_nc=input_nc, output_nc=output_nc, norm=norm,
                         num_upsampling_layers=num_upsampling_layers, kernel=kernel, spectral=spectral,
                         z_dim=z_dim, **style_settings)
        _check_upsampling(num_upsampling_layers)
        up_blocks = 5 if num_upsampling_layers == "most" else 4
        if (len(full.up) == 5) != (up_blocks == 5):
            raise ValueError(f"--num_upsampling_layers {num_upsampling_layers} has {up_blocks} 'up' widths, "
                             f"the architecture has {len(full.up)}")
        self.stride = 2 ** UPSAMPLING[num_upsampling_layers]
        self.fc: ElasticLatent | ElasticConv2d
        if z_dim:
            self.fc = ElasticLatent(z_dim, full.trunk, self.latent_size())
        else:
            self.fc = ElasticConv2d(input_nc, full.trunk, 3, padding=1)
        block_settings: dict[str, Any] = {"label_nc": input_nc, "norm": norm, "kernel": kernel}
        trunk = full.trunk
        for name, inner, hidden in zip(_HEAD_BLOCKS, full.head_inner, full.hidden[:3], strict=True):
            if inner:
                self.add_module(name, SpadeBlock(trunk, inner, trunk, hidden, False, **block_settings))
        inputs = (full.trunk, *full.up[:-1])
        for i, (before, out, hidden) in enumerate(zip(inputs, full.up, full.hidden[3:], strict=True)):
            self.add_module(f"up_{i}", SpadeBlock(before, out, out, hidden, True, **block_settings))
        self.conv_img = ElasticConv2d(full.up[-1], output_nc, 3, padding=1)
        if spectral:
            self._add_spectral_norm()

    def _add_spectral_norm(self) -> None:
        for block in self.children():
            if isinstance(block, SpadeBlock):
                add_spectral_norm(block.conv_0, block.conv_1)
                if hasattr(block, "conv_s"):
                    add_spectral_norm(block.conv_s)

    @property
    def example_input_size(self) -> tuple[int, int]:
        height, width = self.fc.size if isinstance(self.fc, ElasticLatent) else (2, 2)
        return height * self.stride, width * self.stride

    def latent_size(self) -> tuple[int, int]:
        """Compute height and width of the latent map of a style code, which determines the size of the
        images.

        Raises:
            ValueError: `crop_size` is missing or too small.
        """
        crop_size, aspect_ratio = self.config["crop_size"], self.config["aspect_ratio"]
        if not crop_size:
            raise ValueError("a SPADE generator with a style code has one image size; "
                             "give --crop_size and --aspect_ratio")
        width = crop_size // self.stride
        height = round(width / aspect_ratio)
        if 0 in (height, width):
            raise ValueError(f"--crop_size {crop_size} with --aspect_ratio {aspect_ratio} is too small: "
                             f"a latent map of {height}x{width}")
        return height, width

    def latent(self, labels: Tensor, arch: Arch, z: Tensor | None) -> Tensor:
        """Compute the latent map (N, trunk, h, w).

        Args:
            labels: (N, input_nc, h, w), the downscaled label map.
            arch: the widths.
            z: (N, z_dim), the style code; None is the mean of the prior, zeros.
        """
        if not isinstance(self.fc, ElasticLatent):
            return self.fc(labels, arch.trunk)
        if labels.shape[-2:] != self.fc.size:
            height, width = self.example_input_size
            raise ValueError("this SPADE generator has a style code and takes only images of "
                             f"{height}x{width} (HxW)")
        if z is None:
            z = labels.new_zeros(len(labels), self.config["z_dim"])
        return self.fc(z, arch.trunk)

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap: Tap, z: Tensor | None = None) -> Tensor:
        factor = self.stride  # by which the label map is downscaled to the size of the activations
        labels = {1: x}  # factor -> the label map, downscaled to its nearest neighbors

        def labels_now() -> Tensor:
            if factor not in labels:
                labels[factor] = x[..., ::factor, ::factor].contiguous()
            return labels[factor]

        def block(name: str, h: Tensor, inner: int, out: int, hidden: int) -> Tensor:
            if inner == 0:
                return h
            return self.get_submodule(name)(h, labels_now(), inner, out, hidden, is_full)

        def upsample(h: Tensor) -> Tensor:
            nonlocal factor
            factor //= 2
            return F.interpolate(h, scale_factor=2, mode="nearest")

        head, *middle = arch.head_inner
        head_hidden, *hidden = arch.hidden
        h = self.latent(labels_now(), arch, z)
        h = upsample(tap("head", block("head_0", h, head, arch.trunk, head_hidden)))
        for i, inner in enumerate(middle):
            h = tap(f"middle.{i}", block(f"G_middle_{i}", h, inner, arch.trunk, hidden[i]))
            if i == 0 and self.config["num_upsampling_layers"] != "normal":
                h = upsample(h)
        for i, out in enumerate(arch.up):
            h = tap(f"up.{i}", block(f"up_{i}", upsample(h), out, out, hidden[2 + i]))
        return self.conv_img(F.leaky_relu(h, 0.2)).tanh()

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        return "head", "middle.1", "up.0", "up.2"

    @staticmethod
    def ambiguous_settings(config: Mapping) -> dict[str, tuple]:
        style = {"crop_size": (), "aspect_ratio": ()} if config["z_dim"] else {}
        return {"num_upsampling_layers": ("normal", "more"), **style}

    @staticmethod
    def read_architecture(shapes: Shapes) -> tuple[Arch, dict] | None:
        required = ("fc", "conv_img", "up_0.conv_0", "up_0.norm_0.mlp_shared.0")
        if any(f"{key}.weight" not in shapes for key in required):
            return None

        def width(key: str) -> int:
            """Return the number of output channels of a convolution, 0 if there is none."""
            return shapes.get(f"{key}.weight", (0,))[0]

        ups = [name for name in (f"up_{i}" for i in range(5)) if width(f"{name}.conv_0")]
        blocks = [*_HEAD_BLOCKS, *ups]
        hidden = [width(f"{block}.norm_0.mlp_shared.0") for block in blocks]
        # the file holds no hidden width of a skipped middle block; any valid value will do
        min_hidden = min(width(f"{block}.norm_0.mlp_shared.0")
                         for block in blocks if width(f"{block}.conv_0"))
        arch = Arch("spade", trunk=shapes["head_0.conv_0.weight"][1],
                    head_inner=[width(f"{block}.conv_0") for block in _HEAD_BLOCKS],
                    up=[width(f"{name}.conv_0") for name in ups],
                    hidden=[value or min_hidden for value in hidden])
        fc = shapes["fc.weight"]
        _, input_nc, kernel, *_ = shapes["up_0.norm_0.mlp_shared.0.weight"]
        has_statistics = "up_0.norm_0.param_free_norm.running_mean" in shapes
        config = {"input_nc": input_nc, "output_nc": width("conv_img"),
                  "norm": "batch" if has_statistics else "instance", "kernel": kernel,
                  "z_dim": fc[1] if len(fc) == 2 else 0}
        if len(ups) == 5:
            config["num_upsampling_layers"] = "most"  # "normal" and "more" have the same keys and shapes
        return arch, config


def _check_upsampling(num_upsampling_layers: str) -> None:
    if num_upsampling_layers not in UPSAMPLING:
        raise ValueError(unknown(f"--num_upsampling_layers {num_upsampling_layers}", num_upsampling_layers,
                                 UPSAMPLING))


def _check(arch: Arch) -> None:
    for name in ("head_inner", "up", "hidden"):
        if not isinstance(getattr(arch, name), tuple):
            raise ValueError(f"a spade has several '{name}' widths, got {getattr(arch, name)}")
    if isinstance(arch.trunk, tuple):
        raise ValueError(f"a spade has one 'trunk' width, got {arch.trunk}")
    if len(arch.head_inner) != 3 or len(arch.up) not in (4, 5) or len(arch.hidden) != 3 + len(arch.up):
        raise ValueError("a spade has 3 'head_inner' widths, 4 'up' widths (5 with --num_upsampling_layers "
                         "most) and a 'hidden' width for each of these; "
                         f"got {len(arch.head_inner)}, {len(arch.up)}, {len(arch.hidden)}")
    if 0 in (arch.trunk, arch.head_inner[0], *arch.up, *arch.hidden):
        raise ValueError("widths of a spade are positive; only those of the middle blocks, head_inner[1] and "
                         "head_inner[2], can be 0")


def _full(ngf: int, num_upsampling_layers: str = "more") -> Arch:
    _check_upsampling(num_upsampling_layers)
    up: tuple[int, ...] = (8 * ngf, 4 * ngf, 2 * ngf, ngf)
    if num_upsampling_layers == "most":
        up += (max(1, ngf // 2),)
    return Arch("spade", trunk=16 * ngf, head_inner=(16 * ngf,) * 3, up=up, hidden=(128,) * (3 + len(up)))


def _flags_of(arch: Arch) -> dict:
    return {"num_upsampling_layers": "most"} if len(arch.up) == 5 else {}


_UP = (W512, W256, W128, W64[1:], W64[:5])  # the last one is for up_4 of "most", whose full width is 32

register(Family(
    name="spade",
    fields={"trunk": Field(lambda i: W1024, single=True),
            "head_inner": Field(lambda i: W1024, skippable=(1, 2)),
            "up": Field(lambda i: _UP[i]),
            "hidden": Field(lambda i: W128, scaled=False)},
    generator=SpadeGenerator, full={"spade": _full}, check=_check, norm="batch", input_nc=36, size=(256, 512),
    ngf=lambda arch: arch.up[3], semantic=True, netD="spade", objective=FeatureMatchingObjective,
    two_time_scales=True, defaults={"gan_mode": "hinge", "n_layers_D": 4, "init_type": "xavier"},
    flags={"num_upsampling_layers": "more"}, flags_of=_flags_of))

"""Discriminators with upstream's keys (PatchGAN, pixel, multi-scale), and the shared-trunk discriminator of stage 2."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.layers import NORMS, ElasticConv2d, make_norm
from .spectral_norm import add_spectral_norm

Step = tuple[nn.Module, nn.Module | None]  # a convolution and its norm
Scales = list[list[Tensor]]  # over scales, full resolution first, of activations over layers


class Discriminator(nn.Module):
    """Towers of convolutions with norms and leaky relus; each sees the images at half the size of the one before, and
    its last convolution is the prediction."""

    def __init__(self, **config):
        super().__init__()
        self.config = config
        if config["norm"] not in NORMS:
            raise ValueError(f"--norm {config['norm']} is unknown, known: {', '.join(NORMS)}")
        for flag in ("ndf", "n_layers", "num_D"):
            if config.get(flag, 1) < 1:
                name = "n_layers_D" if flag == "n_layers" else flag
                raise ValueError(f"--{name} must be at least 1, got {config[flag]}")

    def towers(self) -> list[list[Step]]:
        """For each scale, full resolution first, (convolution, norm or None) in running order."""
        raise NotImplementedError

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> dict | None:
        """The arguments of :func:`build_discriminator` that a state dict shows by its keys and shapes (name -> shape);
        None if it is none of this class."""
        raise NotImplementedError

    def trunk(self, x: Tensor) -> Scales:
        """Images (N, input_nc, H, W) -> for each scale the activations before the prediction."""
        scales = []
        for i, (*tower, _) in enumerate(self.towers()):
            if i:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            found, h = [], x
            for conv, norm in tower:
                h = conv(h)
                h = F.leaky_relu(h if norm is None else norm(h), 0.2)
                found.append(h)
            scales.append(found)
        return scales

    def discriminate(self, x: Tensor) -> Scales:
        """Images (N, input_nc, H, W) -> for each scale the activations, the prediction (N, 1, h, w) last."""
        return [[*found, tower[-1][0](found[-1])] for found, tower in zip(self.trunk(x), self.towers())]

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, input_nc, H, W) -> a map of logits (N, 1, h, w), one for each patch."""
        return self.discriminate(x)[0][-1]


class PatchDiscriminator(Discriminator):
    """PatchGAN (Isola et al., CVPR 2017): `n_layers` strided convolutions, one more, and the prediction."""

    def __init__(self, input_nc: int = 6, ndf: int = 64, n_layers: int = 3, norm: str = "instance"):
        super().__init__(input_nc=input_nc, ndf=ndf, n_layers=n_layers, norm=norm)
        bias = norm == "instance"
        widths = [ndf * min(2 ** i, 8) for i in range(n_layers + 1)]
        layers: dict[str, nn.Module] = {"0": ElasticConv2d(input_nc, ndf, 4, stride=2, padding=1)}
        for i in range(1, n_layers + 1):
            key = 3 * i - 1
            layers[str(key)] = ElasticConv2d(widths[i - 1], widths[i], 4, stride=2 if i < n_layers else 1, padding=1,
                                             bias=bias)
            layers[str(key + 1)] = make_norm(norm, widths[i])
        layers[str(3 * n_layers + 2)] = ElasticConv2d(widths[-1], 1, 4, padding=1)
        self.model = nn.ModuleDict(layers)

    def towers(self) -> list[list[Step]]:
        layers = list(self.model.values())
        return [[(layers[0], None), *zip(layers[1:-1:2], layers[2:-1:2]), (layers[-1], None)]]

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> dict | None:
        first = shapes.get("model.0.weight", ())
        if len(first) != 4 or first[2:] != (4, 4) or "model.2.weight" not in shapes:
            return None
        convs = sum(1 for key, shape in shapes.items() if key.endswith(".weight") and len(shape) == 4)
        norm = "instance" if "model.2.bias" in shapes else "batch" if "model.3.weight" in shapes else "none"
        return dict(netD="basic" if convs == 5 else "n_layers", n_layers_D=convs - 2, input_nc=first[1], ndf=first[0],
                    norm=norm)


class PixelDiscriminator(Discriminator):
    """Judges every pixel by itself (1x1 convolutions)."""

    def __init__(self, input_nc: int = 6, ndf: int = 64, norm: str = "instance"):
        super().__init__(input_nc=input_nc, ndf=ndf, norm=norm)
        bias = norm == "instance"
        self.net = nn.ModuleDict({"0": ElasticConv2d(input_nc, ndf, 1),
                                  "2": ElasticConv2d(ndf, 2 * ndf, 1, bias=bias), "3": make_norm(norm, 2 * ndf),
                                  "5": ElasticConv2d(2 * ndf, 1, 1, bias=bias)})

    def towers(self) -> list[list[Step]]:
        first, second, norm, last = self.net.values()
        return [[(first, None), (second, norm), (last, None)]]

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> dict | None:
        if "net.0.weight" not in shapes or "net.2.weight" not in shapes:
            return None
        norm = "instance" if "net.2.bias" in shapes else "batch" if "net.3.weight" in shapes else "none"
        return dict(netD="pixel", input_nc=shapes["net.0.weight"][1], ndf=shapes["net.0.weight"][0], norm=norm)


class MultiscaleDiscriminator(Discriminator):
    """`num_D` PatchGANs on ever smaller images; the base of Pix2PixHD's and SPADE's, which differ in their keys."""

    def __init__(self, features: bool, **config):
        super().__init__(features=features, **config)

    def convolutions(self, strided: int, bias: bool) -> list[ElasticConv2d]:
        """A tower's: `strided` ones that halve the sides, one more, and the prediction; at most 512 wide."""
        widths = [self.config["ndf"]]
        for _ in range(strided):
            widths.append(min(2 * widths[-1], 512))
        first = ElasticConv2d(self.config["input_nc"], widths[0], 4, stride=2, padding=2)
        middle = [ElasticConv2d(a, b, 4, stride=2 if i < strided - 1 else 1, padding=2, bias=bias)
                  for i, (a, b) in enumerate(zip(widths, widths[1:]))]
        return [first, *middle, ElasticConv2d(widths[-1], 1, 4, padding=2)]

    def forward(self, x: Tensor) -> Scales:
        """Images (N, input_nc, H, W) -> list over scales, full resolution first, of lists over layers, the prediction
        last; without `features` each holds the prediction alone."""
        return [layers if self.config["features"] else layers[-1:] for layers in self.discriminate(x)]


class Pix2PixHDDiscriminator(MultiscaleDiscriminator):
    """Pix2PixHD's (Wang et al., CVPR 2018); its keys say whether features are returned, and count scales from small."""

    def __init__(self, input_nc: int = 39, ndf: int = 64, n_layers: int = 3, norm: str = "instance", num_D: int = 2,
                 features: bool = True):
        super().__init__(features, input_nc=input_nc, ndf=ndf, n_layers=n_layers, norm=norm, num_D=num_D)
        for scale in range(num_D):
            first, *middle, last = self.convolutions(n_layers, True)
            steps = [{"0": first}, *({"0": conv, "1": make_norm(norm, conv.out_channels)} for conv in middle), {"0": last}]
            if features:
                for i, step in enumerate(steps):
                    self.add_module(f"scale{scale}_layer{i}", nn.ModuleDict(step))
            else:  # one sequence: convolution, norm and activation count on, the first step has no norm
                flat = {str(3 * i - 1 + int(key) if i else 0): layer for i, step in enumerate(steps)
                        for key, layer in step.items()}
                self.add_module(f"layer{scale}", nn.ModuleDict(flat))

    def towers(self) -> list[list[Step]]:
        found = []
        for scale in reversed(range(self.config["num_D"])):
            if self.config["features"]:
                steps = [self.get_submodule(f"scale{scale}_layer{i}") for i in range(self.config["n_layers"] + 2)]
                found.append([(step["0"], step["1"] if "1" in step else None) for step in steps])
            else:
                first, *middle, last = self.get_submodule(f"layer{scale}").values()
                found.append([(first, None), *zip(middle[::2], middle[1::2]), (last, None)])
        return found

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> dict | None:
        first = shapes.get("scale0_layer0.0.weight") or shapes.get("layer0.0.weight")
        if first is None:
            return None
        features = "scale0_layer0.0.weight" in shapes
        convs = sum(1 for key, shape in shapes.items() if len(shape) == 4
                    and re.match(r"scale0_layer\d+\.0\.weight" if features else r"layer0\.\d+\.weight", key))
        norm = ("scale0_layer1.1" if features else "layer0.3") + ".weight"
        scales = {int(m[1]) for key in shapes if (m := re.match(r"(?:scale|layer)(\d+)[_.]", key))}
        return dict(netD="pix2pixhd", input_nc=first[1], ndf=first[0], n_layers_D=convs - 2, num_D=len(scales),
                    norm="batch" if norm in shapes else "instance", features=features)


class SpadeDiscriminator(MultiscaleDiscriminator):
    """SPADE's (Park et al., CVPR 2019); spectral norm on the middle convolutions."""

    def __init__(self, input_nc: int = 39, ndf: int = 64, n_layers: int = 4, norm: str = "instance", num_D: int = 2,
                 features: bool = True, spectral: bool = True):
        super().__init__(features, input_nc=input_nc, ndf=ndf, n_layers=n_layers, norm=norm, num_D=num_D,
                         spectral=spectral)
        for scale in range(num_D):
            first, *middle, last = self.convolutions(n_layers - 1, norm == "none")
            if spectral:
                add_spectral_norm(*middle)
            layers = {"model0": nn.ModuleDict({"0": first}), f"model{n_layers}": nn.ModuleDict({"0": last})}
            for i, conv in enumerate(middle, 1):
                step = conv if norm == "none" else nn.ModuleDict({"0": conv, "1": make_norm(norm, conv.out_channels)})
                layers[f"model{i}"] = nn.ModuleDict({"0": step})
            self.add_module(f"discriminator_{scale}", nn.ModuleDict(layers))

    def towers(self) -> list[list[Step]]:
        found = []
        for scale in range(self.config["num_D"]):
            tower = self.get_submodule(f"discriminator_{scale}")
            steps = [tower[f"model{i}"]["0"] for i in range(self.config["n_layers"] + 1)]
            found.append([(s["0"], s["1"]) if isinstance(s, nn.ModuleDict) else (s, None) for s in steps])
        return found

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> dict | None:
        first = shapes.get("discriminator_0.model0.0.weight")
        if first is None:
            return None
        layers, scales = (len({m[1] for key in shapes if (m := re.match(pattern, key))})
                          for pattern in (r"discriminator_0\.model(\d+)\.", r"discriminator_(\d+)\."))
        plain = any(key.startswith("discriminator_0.model1.0.weight") for key in shapes)
        norm = "none" if plain else "batch" if "discriminator_0.model1.0.1.weight" in shapes else "instance"
        return dict(netD="spade", input_nc=first[1], ndf=first[0], n_layers_D=layers - 1, num_D=scales, norm=norm,
                    spectral=any(key.endswith("weight_orig") for key in shapes))


class MultiHeadDiscriminator(nn.Module):
    """One trunk for all teachers and a head (the last convolutions) for each (UGC, stage 2).

    It starts from `base`: the trunk is base's, every head a copy of base's last convolutions, one for each scale.
    """

    def __init__(self, base: Discriminator, heads: Sequence[str]):
        super().__init__()
        self.base = base
        last = [tower[-1][0] for tower in base.towers()]
        self.heads = nn.ModuleDict({name: nn.ModuleList(map(_copy_of, last)) for name in heads})
        for conv in last:  # base's own head is not trained, it only keeps base's keys whole
            conv.requires_grad_(False)

    def trunk(self, x: Tensor) -> Scales:
        """Images (N, input_nc, H, W) -> the trunk's activations for each scale, shared by all heads."""
        return self.base.trunk(x)

    def head(self, name: str, trunk: Scales) -> Scales:
        """The judgment of head `name`: the trunk's activations, its prediction (N, 1, h, w) last."""
        return [[*found, conv(found[-1])] for found, conv in zip(trunk, self.heads[name])]

    def forward(self, x: Tensor, name: str) -> Scales:
        """Images (N, input_nc, H, W) -> the judgment of head `name`."""
        return self.head(name, self.trunk(x))


def _copy_of(conv: nn.Conv2d) -> nn.Conv2d:
    copy = ElasticConv2d(conv.in_channels, conv.out_channels, conv.kernel_size[0], stride=conv.stride,
                         padding=conv.padding, bias=conv.bias is not None)
    copy.load_state_dict(conv.state_dict())
    return copy.to(conv.weight.device)


KINDS: tuple[type[Discriminator], ...] = (PatchDiscriminator, PixelDiscriminator, Pix2PixHDDiscriminator,
                                          SpadeDiscriminator)
DISCRIMINATORS = ("basic", "n_layers", "pixel", "pix2pixhd", "spade")


def build_discriminator(netD: str = "basic", input_nc: int = 6, ndf: int = 64, n_layers_D: int = 3,
                        norm: str = "instance", num_D: int = 2, features: bool = True,
                        spectral: bool = True) -> Discriminator:
    """The discriminator of upstream's ``--netD``: basic (PatchGAN of 3 layers), n_layers, pixel, or the multi-scale
    ones, pix2pixhd and spade, which alone look at `num_D`, `features` and, SPADE's, `spectral`.

    Raises:
        ValueError: unknown `netD` or `norm`, or a number below 1.
    """
    if netD in ("basic", "n_layers"):
        return PatchDiscriminator(input_nc, ndf, 3 if netD == "basic" else n_layers_D, norm)
    if netD == "pixel":
        return PixelDiscriminator(input_nc, ndf, norm)
    if netD == "pix2pixhd":
        return Pix2PixHDDiscriminator(input_nc, ndf, n_layers_D, norm, num_D, features)
    if netD == "spade":
        return SpadeDiscriminator(input_nc, ndf, n_layers_D, norm, num_D, features, spectral)
    raise ValueError(f"unknown discriminator --netD {netD}, known: {', '.join(DISCRIMINATORS)}")

"""Discriminators with upstream's keys: PatchGAN, pixel, and the multi-scale ones of Pix2PixHD and SPADE."""
from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.layers import NORMS, ElasticConv2d, Shapes, infer_norm, make_norm
from ..runtime.text import unknown
from .objectives import DiscriminatorOutput
from .spectral_norm import add_spectral_norm

ConvAndNorm = tuple[nn.Module, nn.Module | None]  # a convolution and the norm after it
Activations = list[list[Tensor]]  # per scale, full resolution first: activations (N, C, h, w)


class Discriminator(nn.Module):
    """A discriminator D of one or several scales, each of which is a tower of convolutions, norms and leaky
    ReLUs.

    Each scale sees the images at half the height and width of the previous scale. The last convolution of a
    tower is the prediction, a map of logits.

    Attributes:
        config: the constructor arguments.
    """

    def __init__(self, **config: Any):
        super().__init__()
        self.config = config
        if config["norm"] not in NORMS:
            raise ValueError(unknown(f"--norm {config['norm']}", config["norm"], NORMS))
        for flag, name in (("ndf", "ndf"), ("n_layers", "n_layers_D"), ("num_D", "num_D")):
            if config.get(flag, 1) < 1:
                raise ValueError(f"--{name} must be at least 1, got {config[flag]}")

    def towers(self) -> list[list[ConvAndNorm]]:
        """Return for each scale, full resolution first, the convolutions and norms in running order."""
        raise NotImplementedError

    @staticmethod
    def read_architecture(shapes: Shapes) -> dict | None:
        """Infer the arguments of :func:`build_discriminator` from the keys and shapes of a state dict.

        Args:
            shapes: state-dict key -> shape.

        Returns:
            The arguments, or None if the state dict is not of this class.
        """
        raise NotImplementedError

    def trunk(self, x: Tensor) -> Activations:
        """Map images (N, input_nc, H, W) to the activations before the prediction."""
        if x.shape[1] != self.config["input_nc"]:  # elastic layers would slice their weights
            raise ValueError(f"the discriminator takes {self.config['input_nc']} channels, got {x.shape[1]}")
        activations: Activations = []
        for i, tower in enumerate(self.towers()):
            if i:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            h = x
            layers: list[Tensor] = []
            for conv, norm in tower[:-1]:
                h = conv(h)
                h = F.leaky_relu(h if norm is None else norm(h), 0.2)
                layers.append(h)
            activations.append(layers)
        return activations

    def discriminate(self, x: Tensor) -> DiscriminatorOutput:
        """Map images (N, input_nc, H, W) to all activations; the prediction (N, 1, h, w) of a scale is
        last."""
        predictions = [tower[-1][0] for tower in self.towers()]
        return [[*layers, predict(layers[-1])]
                for layers, predict in zip(self.trunk(x), predictions, strict=True)]

    def forward(self, x: Tensor) -> Tensor | DiscriminatorOutput:
        """Map images (N, input_nc, H, W) to logits (N, 1, h, w), one for each patch."""
        return self.discriminate(x)[0][-1]


class PatchDiscriminator(Discriminator):
    """PatchGAN (Isola et al., CVPR 2017).

    Args:
        input_nc: channels of the input image and the output image together.
        ndf: base width.
        n_layers: number of strided convolutions; one more convolution and the prediction follow.
        norm: ``--norm``.
    """

    def __init__(self, input_nc: int = 6, ndf: int = 64, n_layers: int = 3, norm: str = "instance"):
        super().__init__(input_nc=input_nc, ndf=ndf, n_layers=n_layers, norm=norm)
        bias = norm == "instance"
        widths = [ndf * min(2 ** i, 8) for i in range(n_layers + 1)]
        layers: dict[str, nn.Module] = {"0": ElasticConv2d(input_nc, ndf, 4, stride=2, padding=1)}
        for i in range(1, n_layers + 1):
            key = 3 * i - 1
            stride = 2 if i < n_layers else 1
            layers[str(key)] = ElasticConv2d(widths[i - 1], widths[i], 4, stride=stride, padding=1, bias=bias)
            layers[str(key + 1)] = make_norm(norm, widths[i])
        layers[str(3 * n_layers + 2)] = ElasticConv2d(widths[-1], 1, 4, padding=1)
        self.model = nn.ModuleDict(layers)

    def towers(self) -> list[list[ConvAndNorm]]:
        first, *middle, last = self.model.values()
        return [[(first, None), *zip(middle[::2], middle[1::2], strict=True), (last, None)]]

    @staticmethod
    def read_architecture(shapes: Shapes) -> dict | None:
        first = shapes.get("model.0.weight", ())
        if len(first) != 4 or first[2:] != (4, 4) or "model.2.weight" not in shapes:
            return None
        convs = sum(1 for key, shape in shapes.items() if key.endswith(".weight") and len(shape) == 4)
        return {"netD": "basic" if convs == 5 else "n_layers", "n_layers_D": convs - 2, "input_nc": first[1],
                "ndf": first[0], "norm": infer_norm(shapes, conv="model.2", norm="model.3")}


class PixelDiscriminator(Discriminator):
    """Discriminator of single pixels, which has only 1x1 convolutions (Isola et al., CVPR 2017).

    Args:
        input_nc, ndf, norm: as in :class:`PatchDiscriminator`.
    """

    def __init__(self, input_nc: int = 6, ndf: int = 64, norm: str = "instance"):
        super().__init__(input_nc=input_nc, ndf=ndf, norm=norm)
        bias = norm == "instance"
        self.net = nn.ModuleDict({"0": ElasticConv2d(input_nc, ndf, 1),
                                  "2": ElasticConv2d(ndf, 2 * ndf, 1, bias=bias),
                                  "3": make_norm(norm, 2 * ndf),
                                  "5": ElasticConv2d(2 * ndf, 1, 1, bias=bias)})

    def towers(self) -> list[list[ConvAndNorm]]:
        first, second, norm, last = self.net.values()
        return [[(first, None), (second, norm), (last, None)]]

    @staticmethod
    def read_architecture(shapes: Shapes) -> dict | None:
        if "net.0.weight" not in shapes or "net.2.weight" not in shapes:
            return None
        ndf, input_nc, *_ = shapes["net.0.weight"]
        return {"netD": "pixel", "input_nc": input_nc, "ndf": ndf,
                "norm": infer_norm(shapes, conv="net.2", norm="net.3")}


class MultiscaleDiscriminator(Discriminator):
    """`num_D` PatchGANs on images of decreasing size: the base class of Pix2PixHD's and SPADE's
    discriminators.

    Args:
        features: whether :meth:`forward` returns all activations or only the predictions.
        config: further constructor arguments, see the subclasses.
    """

    def __init__(self, features: bool, **config: Any):
        super().__init__(features=features, **config)

    def convolutions(self, strided: int, bias: bool) -> list[ElasticConv2d]:
        """Build the convolutions of a tower.

        Args:
            strided: number of convolutions that halve height and width; one more convolution and the
                prediction follow.
            bias: whether the convolutions between the first and the last one have a bias.
        """
        widths = [self.config["ndf"]]
        for _ in range(strided):
            widths.append(min(2 * widths[-1], 512))
        convs = [ElasticConv2d(self.config["input_nc"], widths[0], 4, stride=2, padding=2)]
        for i in range(strided):
            stride = 2 if i < strided - 1 else 1
            convs.append(ElasticConv2d(widths[i], widths[i + 1], 4, stride=stride, padding=2, bias=bias))
        convs.append(ElasticConv2d(widths[-1], 1, 4, padding=2))
        return convs

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Map images (N, input_nc, H, W) to the activations of each scale, full resolution first.

        The prediction (N, 1, h, w) of a scale is last; without `features` it is the only entry.
        """
        return [layers if self.config["features"] else layers[-1:] for layers in self.discriminate(x)]


class Pix2PixHDDiscriminator(MultiscaleDiscriminator):
    """Pix2PixHD's discriminator (Wang et al., CVPR 2018).

    Its keys depend on `features`, and they number the scales starting with the smallest image.

    Args:
        input_nc: channels of the label map and the image together.
        ndf: base width.
        n_layers: number of strided convolutions.
        norm: ``--norm``.
        num_D: number of scales.
        features: whether :meth:`forward` returns all activations (upstream's ``getIntermFeat``).
    """

    def __init__(self, input_nc: int = 39, ndf: int = 64, n_layers: int = 3, norm: str = "instance",
                 num_D: int = 2, features: bool = True):
        super().__init__(features, input_nc=input_nc, ndf=ndf, n_layers=n_layers, norm=norm, num_D=num_D)
        for scale in range(num_D):
            first, *middle, last = self.convolutions(n_layers, True)
            pairs: list[ConvAndNorm] = [(conv, make_norm(norm, conv.out_channels)) for conv in middle]
            pairs = [(first, None), *pairs, (last, None)]
            if features:
                self._add_layers(scale, pairs)
            else:
                self._add_sequence(scale, pairs)

    def _add_layers(self, scale: int, pairs: Sequence[ConvAndNorm]) -> None:
        """Add one module for each convolution and its norm."""
        for i, (conv, norm) in enumerate(pairs):
            layer = {"0": conv} if norm is None else {"0": conv, "1": norm}
            self.add_module(f"scale{scale}_layer{i}", nn.ModuleDict(layer))

    def _add_sequence(self, scale: int, pairs: Sequence[ConvAndNorm]) -> None:
        """Add one module for the scale, whose keys number convolutions, norms and activations
        consecutively."""
        layers: dict[str, nn.Module] = {}
        for i, (conv, norm) in enumerate(pairs):
            key = 3 * i - 1 if i else 0  # there is no norm after the first convolution
            layers[str(key)] = conv
            if norm is not None:
                layers[str(key + 1)] = norm
        self.add_module(f"layer{scale}", nn.ModuleDict(layers))

    def towers(self) -> list[list[ConvAndNorm]]:
        scales = reversed(range(self.config["num_D"]))
        return [self._tower(scale) for scale in scales]

    def _tower(self, scale: int) -> list[ConvAndNorm]:
        if not self.config["features"]:
            first, *middle, last = self.get_submodule(f"layer{scale}").children()
            return [(first, None), *zip(middle[::2], middle[1::2], strict=True), (last, None)]
        layers = [self.get_submodule(f"scale{scale}_layer{i}") for i in range(self.config["n_layers"] + 2)]
        return [(layer.get_submodule("0"), dict(layer.named_children()).get("1")) for layer in layers]

    @staticmethod
    def read_architecture(shapes: Shapes) -> dict | None:
        features = "scale0_layer0.0.weight" in shapes
        if features:
            conv_key, norm_key = r"scale0_layer\d+\.0\.weight", "scale0_layer1.1.weight"
        else:
            conv_key, norm_key = r"layer0\.\d+\.weight", "layer0.3.weight"
        first = shapes.get("scale0_layer0.0.weight" if features else "layer0.0.weight")
        if first is None:
            return None
        convs = [key for key, shape in shapes.items() if len(shape) == 4 and re.match(conv_key, key)]
        return {"netD": "pix2pixhd", "input_nc": first[1], "ndf": first[0], "n_layers_D": len(convs) - 2,
                "num_D": _count_indices(shapes, r"(?:scale|layer)(\d+)[_.]"),
                "norm": "batch" if norm_key in shapes else "instance", "features": features}


class SpadeDiscriminator(MultiscaleDiscriminator):
    """SPADE's discriminator (Park et al., CVPR 2019), with spectral norm on the middle convolutions.

    Args:
        input_nc, ndf, norm, num_D, features: as in :class:`Pix2PixHDDiscriminator`.
        n_layers: number of convolutions before the prediction.
        spectral: whether there is spectral norm.
    """

    def __init__(self, input_nc: int = 39, ndf: int = 64, n_layers: int = 4, norm: str = "instance",
                 num_D: int = 2, features: bool = True, spectral: bool = True):
        super().__init__(features, input_nc=input_nc, ndf=ndf, n_layers=n_layers, norm=norm, num_D=num_D,
                         spectral=spectral)
        for scale in range(num_D):
            first, *middle, last = self.convolutions(n_layers - 1, norm == "none")
            if spectral:
                add_spectral_norm(*middle)
            layers = {"model0": nn.ModuleDict({"0": first}), f"model{n_layers}": nn.ModuleDict({"0": last})}
            for i, conv in enumerate(middle, 1):
                layer: nn.Module = conv
                if norm != "none":
                    layer = nn.ModuleDict({"0": conv, "1": make_norm(norm, conv.out_channels)})
                layers[f"model{i}"] = nn.ModuleDict({"0": layer})
            self.add_module(f"discriminator_{scale}", nn.ModuleDict(layers))

    def towers(self) -> list[list[ConvAndNorm]]:
        return [self._tower(scale) for scale in range(self.config["num_D"])]

    def _tower(self, scale: int) -> list[ConvAndNorm]:
        tower: list[ConvAndNorm] = []
        for i in range(self.config["n_layers"] + 1):
            layer = self.get_submodule(f"discriminator_{scale}.model{i}.0")
            if isinstance(layer, nn.ModuleDict):
                tower.append((layer["0"], layer["1"]))
            else:
                tower.append((layer, None))
        return tower

    @staticmethod
    def read_architecture(shapes: Shapes) -> dict | None:
        first = shapes.get("discriminator_0.model0.0.weight")
        if first is None:
            return None
        if any(key.startswith("discriminator_0.model1.0.weight") for key in shapes):
            norm = "none"
        elif "discriminator_0.model1.0.1.weight" in shapes:
            norm = "batch"
        else:
            norm = "instance"
        return {"netD": "spade", "input_nc": first[1], "ndf": first[0],
                "n_layers_D": _count_indices(shapes, r"discriminator_0\.model(\d+)\.") - 1,
                "num_D": _count_indices(shapes, r"discriminator_(\d+)\."), "norm": norm,
                "spectral": any(key.endswith("weight_orig") for key in shapes)}


def _count_indices(shapes: Shapes, pattern: str) -> int:
    """Count the different values of the first group of `pattern` in the keys."""
    return len({match[1] for key in shapes if (match := re.match(pattern, key))})


KINDS: tuple[type[Discriminator], ...] = (PatchDiscriminator, PixelDiscriminator, Pix2PixHDDiscriminator,
                                          SpadeDiscriminator)
DISCRIMINATORS = ("basic", "n_layers", "pixel", "pix2pixhd", "spade")


def build_discriminator(netD: str = "basic", input_nc: int = 6, ndf: int = 64, n_layers_D: int = 3,
                        norm: str = "instance", num_D: int = 2, features: bool = True,
                        spectral: bool = True) -> Discriminator:
    """Build the discriminator of upstream's ``--netD``.

    Args:
        netD: basic (PatchGAN of 3 layers), n_layers (PatchGAN), pixel, pix2pixhd or spade (multi-scale).
        input_nc: channels of the input and the output image together.
        ndf: base width.
        n_layers_D: number of layers, unless `netD` is basic or pixel.
        norm: instance, batch, syncbatch or none.
        num_D: number of scales, for pix2pixhd and spade.
        features: whether the network returns all activations, for pix2pixhd and spade.
        spectral: whether there is spectral norm, for spade.

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
    raise ValueError(unknown(f"--netD {netD}", netD, DISCRIMINATORS))

"""PatchGAN and pixel discriminators with upstream's keys, and the shared-trunk discriminator of stage 2."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from .layers import NORMS, ElasticConv2d, make_norm


class Discriminator(nn.Module):
    """A chain of steps, each a convolution with an optional norm and a leaky relu; the last is the prediction."""

    def __init__(self, **config):
        super().__init__()
        self.config = config

    def steps(self) -> list[tuple[nn.Module, nn.Module | None]]:
        """(convolution, norm or None) in running order; the last convolution gives the prediction."""
        raise NotImplementedError

    @staticmethod
    def describe(shapes: Mapping[str, tuple[int, ...]]) -> dict | None:
        """The arguments of :func:`build_discriminator` that a state dict shows by its keys and shapes (name -> shape);
        None if it is none of this class."""
        raise NotImplementedError

    def features(self, x: Tensor) -> list[Tensor]:
        """Images (N, input_nc, H, W) -> activations of every step; the last is the prediction (N, 1, h, w)."""
        *trunk, (last, _) = self.steps()
        found = trunk_features(trunk, x)
        return [*found, last(found[-1])]

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, input_nc, H, W) -> a map of logits (N, 1, h, w), one for each patch."""
        return self.features(x)[-1]


def trunk_features(steps: Sequence[tuple[nn.Module, nn.Module | None]], x: Tensor) -> list[Tensor]:
    """The activations after each (convolution, norm) step and its leaky relu."""
    found = []
    for conv, norm in steps:
        x = conv(x)
        x = F.leaky_relu(x if norm is None else norm(x), 0.2)
        found.append(x)
    return found


class PatchDiscriminator(Discriminator):
    """PatchGAN (Isola et al., CVPR 2017): `n_layers` strided convolutions, one more, and the prediction."""

    def __init__(self, input_nc: int = 6, ndf: int = 64, n_layers: int = 3, norm: str = "instance"):
        super().__init__(input_nc=input_nc, ndf=ndf, n_layers=n_layers, norm=norm)
        if n_layers < 1:
            raise ValueError(f"--n_layers_D must be at least 1, got {n_layers}")
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

    def steps(self) -> list[tuple[nn.Module, nn.Module | None]]:
        layers = list(self.model.values())
        return [(layers[0], None), *zip(layers[1:-1:2], layers[2:-1:2]), (layers[-1], None)]

    @staticmethod
    def describe(shapes: Mapping[str, tuple[int, ...]]) -> dict | None:
        first = shapes.get("model.0.weight", ())
        if len(first) != 4 or first[2:] != (4, 4) or "model.2.weight" not in shapes:
            return None
        convs = sum(1 for key, shape in shapes.items() if key.endswith(".weight") and len(shape) == 4)
        norm = "instance" if "model.2.bias" in shapes else "batch" if "model.3.weight" in shapes else "none"
        return dict(netD="n_layers", n_layers_D=convs - 2, input_nc=first[1], ndf=first[0], norm=norm)


class PixelDiscriminator(Discriminator):
    """Judges every pixel by itself (1x1 convolutions)."""

    def __init__(self, input_nc: int = 6, ndf: int = 64, norm: str = "instance"):
        super().__init__(input_nc=input_nc, ndf=ndf, norm=norm)
        bias = norm == "instance"
        self.net = nn.ModuleDict({"0": ElasticConv2d(input_nc, ndf, 1),
                                  "2": ElasticConv2d(ndf, 2 * ndf, 1, bias=bias), "3": make_norm(norm, 2 * ndf),
                                  "5": ElasticConv2d(2 * ndf, 1, 1, bias=bias)})

    def steps(self) -> list[tuple[nn.Module, nn.Module | None]]:
        first, second, norm, last = self.net.values()
        return [(first, None), (second, norm), (last, None)]

    @staticmethod
    def describe(shapes: Mapping[str, tuple[int, ...]]) -> dict | None:
        if "net.0.weight" not in shapes or "net.2.weight" not in shapes:
            return None
        norm = "instance" if "net.2.bias" in shapes else "batch" if "net.3.weight" in shapes else "none"
        return dict(netD="pixel", input_nc=shapes["net.0.weight"][1], ndf=shapes["net.0.weight"][0], norm=norm)


class MultiHeadDiscriminator(nn.Module):
    """One trunk for all teachers and a head (the last convolution) for each (UGC, stage 2).

    It starts from `base`: the trunk is base's, every head a copy of base's last convolution.
    """

    def __init__(self, base: Discriminator, heads: Sequence[str]):
        super().__init__()
        self.trunk, (last, _) = base, base.steps()[-1]
        self.heads = nn.ModuleDict({name: _copy_of(last) for name in heads})
        for parameter in last.parameters():  # base's own head is not trained, it only keeps base's keys whole
            parameter.requires_grad_(False)

    def features(self, x: Tensor) -> list[Tensor]:
        """Images (N, input_nc, H, W) -> the trunk's activations, shared by all heads."""
        return trunk_features(self.trunk.steps()[:-1], x)

    def head(self, name: str, features: Sequence[Tensor]) -> Tensor:
        """The prediction (N, 1, h, w) of head `name` from the trunk's activations."""
        return self.heads[name](features[-1])

    def forward(self, x: Tensor, head: str) -> Tensor:
        """Images (N, input_nc, H, W) -> the prediction (N, 1, h, w) of `head`."""
        return self.head(head, self.features(x))


def _copy_of(conv: nn.Conv2d) -> nn.Conv2d:
    copy = ElasticConv2d(conv.in_channels, conv.out_channels, conv.kernel_size[0], stride=conv.stride,
                         padding=conv.padding, bias=conv.bias is not None)
    copy.load_state_dict(conv.state_dict())
    return copy.to(conv.weight.device)


DISCRIMINATORS = ("basic", "n_layers", "pixel")


def build_discriminator(netD: str = "basic", input_nc: int = 6, ndf: int = 64, n_layers_D: int = 3,
                        norm: str = "instance") -> Discriminator:
    """The discriminator of upstream's ``--netD``: basic (PatchGAN of 3 layers), n_layers or pixel.

    Raises:
        ValueError: unknown `netD` or `norm`.
    """
    if norm not in NORMS:
        raise ValueError(f"--norm {norm} is unknown, known: {', '.join(NORMS)}")
    if netD in ("basic", "n_layers"):
        return PatchDiscriminator(input_nc, ndf, 3 if netD == "basic" else n_layers_D, norm)
    if netD == "pixel":
        return PixelDiscriminator(input_nc, ndf, norm)
    raise ValueError(f"unknown discriminator --netD {netD}, known: {', '.join(DISCRIMINATORS)}")

"""The encoder of SPADE's variational auto-encoder: an image's style as a normal distribution."""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.layers import make_norm
from .spectral_norm import add_spectral_norm

_SIDE = 256  # images are brought to this size


class StyleEncoder(nn.Module):
    """SPADE's ConvEncoder (Park et al., CVPR 2019) with upstream's keys.

    Args:
        ngf: width of the first convolution; the last ones have eight times as many channels.
        z_dim: length of the style code.
        crop_size: image width of the generator; from 256 on there is a sixth convolution.
        norm, spectral: those of ``--norm_E`` (instance or batch, and whether spectral norm is used).
    """

    def __init__(self, ngf: int = 64, z_dim: int = 256, crop_size: int = 512, norm: str = "instance",
                 spectral: bool = True):
        super().__init__()
        widths = [3, ngf, 2 * ngf, 4 * ngf, 8 * ngf, 8 * ngf] + ([8 * ngf] if crop_size >= 256 else [])
        for i, (before, width) in enumerate(zip(widths, widths[1:]), 1):
            conv = nn.Conv2d(before, width, 3, stride=2, padding=1, bias=norm == "none")
            if spectral:
                add_spectral_norm(conv)
            layer = conv if norm == "none" else nn.ModuleDict({"0": conv, "1": make_norm(norm, width)})
            self.add_module(f"layer{i}", layer)
        self.layers = len(widths) - 1
        side = -(-_SIDE // 2 ** self.layers)
        self.fc_mu = nn.Linear(widths[-1] * side * side, z_dim)
        self.fc_var = nn.Linear(widths[-1] * side * side, z_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) in [-1, 1] -> mean and logarithm of the variance, (N, z_dim) each."""
        h = image
        if h.shape[-2:] != (_SIDE, _SIDE):
            h = F.interpolate(h, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
        for i in range(1, self.layers + 1):
            layer = self.get_submodule(f"layer{i}")
            h = F.leaky_relu(h, 0.2) if i > 1 else h
            h = layer["1"](layer["0"](h)) if isinstance(layer, nn.ModuleDict) else layer(h)
        h = F.leaky_relu(h, 0.2).flatten(1)
        return self.fc_mu(h), self.fc_var(h)


def draw_style(mu: Tensor, logvar: Tensor) -> Tensor:
    """A style code of the distribution, (N, z_dim), on the graph."""
    return mu + torch.randn_like(mu) * (0.5 * logvar).exp()


def divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """The Kullback-Leibler divergence to the standard normal distribution, summed (Kingma and Welling, ICLR 2014)."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum()

"""The encoder of SPADE's variational autoencoder, which maps an image to a normal distribution of style
codes."""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.layers import make_norm
from .spectral_norm import add_spectral_norm

_SIDE = 256  # images are resized to this height and width (pixels)


class StyleEncoder(nn.Module):
    """SPADE's ConvEncoder (Park et al., CVPR 2019) with upstream's keys: q(z | image) = N(mu,
    diag(exp(logvar))).

    Args:
        ngf: width of the first convolution; the last ones have eight times as many channels.
        z_dim: length of the style code z.
        crop_size: width of the generator's images in pixels; from 256 on there is a sixth convolution.
        norm: the norm in ``--norm_E``, instance or batch.
        spectral: whether ``--norm_E`` has spectral norm.
    """

    def __init__(self, ngf: int = 64, z_dim: int = 256, crop_size: int = 512, norm: str = "instance",
                 spectral: bool = True):
        super().__init__()
        widths = [3, ngf, 2 * ngf, 4 * ngf, 8 * ngf, 8 * ngf]
        if crop_size >= 256:
            widths.append(8 * ngf)
        for i, (before, width) in enumerate(zip(widths[:-1], widths[1:], strict=True), 1):
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
        """Encode images.

        Args:
            image: (N, 3, H, W) in [-1, 1].

        Returns:
            The mean mu and the logarithm of the variance logvar, (N, z_dim) each.
        """
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
    """Sample style codes z = mu + exp(logvar / 2) * e with e ~ N(0, I), differentiable in mu and logvar.

    Args:
        mu, logvar: (N, z_dim) each.

    Returns:
        (N, z_dim).
    """
    return mu + torch.randn_like(mu) * (0.5 * logvar).exp()


def divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """Compute KL(N(mu, exp(logvar)) || N(0, I)) = -1/2 sum(1 + logvar - mu^2 - exp(logvar)).

    The sum is over the batch and the components (Kingma and Welling, ICLR 2014).
    """
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum()

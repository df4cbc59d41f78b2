"""SPADE's normalization for a fixed network."""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..elastic.layers import ElasticConv2d, NoNorm
from ..generators.spade import SpadeNorm


class FoldedSpadeNorm(nn.Module):
    """A :class:`SpadeNorm` whose gamma and beta come from one convolution.

    Batch norm without parameters in eval mode is (x - mean) * s with s = 1 / sqrt(var + eps). It is folded
    into the convolutions of gamma and beta, whose results are linear in their weights:

        norm(x) (1 + gamma) + beta = x [s (1 + gamma)] + [beta - mean s (1 + gamma)].

    Any other norm stays; only the 1 is then folded, into the bias of gamma.

    Args:
        spade: the layer, whose norm may be in any mode.
    """

    def __init__(self, spade: SpadeNorm):
        super().__init__()
        shared, gamma, beta = spade.mlp_shared[0], spade.mlp_gamma, spade.mlp_beta
        self.norm = spade.param_free_norm
        scale, shift = gamma.weight.new_ones(gamma.out_channels), gamma.weight.new_zeros(gamma.out_channels)
        if is_fixed(self.norm):
            scale, shift = scale_and_shift(self.norm)
            self.norm = NoNorm()
        factor, weight_shift = scale.view(-1, 1, 1, 1), shift.view(-1, 1, 1, 1)
        assert gamma.bias is not None
        assert beta.bias is not None
        one_plus_gamma = gamma.bias + 1
        weights = torch.cat((gamma.weight * factor, beta.weight + gamma.weight * weight_shift))
        biases = torch.cat((one_plus_gamma * scale, beta.bias + one_plus_gamma * shift))
        self.shared = shared
        self.affine = ElasticConv2d(gamma.in_channels, 2 * gamma.out_channels, gamma.weight.shape[-1],
                                    padding=gamma.padding)
        self.affine.weight = nn.Parameter(weights)
        self.affine.bias = nn.Parameter(biases)

    def forward(self, x: Tensor, labels: Tensor, hidden: int, is_full: bool) -> Tensor:
        """Normalize x (N, C, H, W) with the label map (N, label_nc, H, W)."""
        gamma, beta = self.affine(F.relu(self.shared(labels))).chunk(2, 1)
        return self.norm(x, is_full) * gamma + beta


def is_fixed(norm: nn.Module) -> bool:
    """Return whether a norm is an affine map with fixed numbers: batch norm in eval mode."""
    return isinstance(norm, nn.BatchNorm2d) and not norm.training and norm.running_mean is not None


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Compute the affine map x * scale + shift of a fixed batch norm, (C,) each."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    return scale.to(norm.running_var.dtype), shift.to(norm.running_var.dtype)

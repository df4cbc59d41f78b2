"""The discriminator of stage 2, with one head for each teacher."""
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..elastic.layers import ElasticConv2d
from .discriminators import Activations, Discriminator
from .objectives import DiscriminatorOutput


class MultiHeadDiscriminator(nn.Module):
    """The discriminator of stage 2: one trunk phi for all teachers and one head D_k for each teacher k.

    A head consists of the last convolutions, one for each scale. The trunk is that of `base`, and every head
    starts as a copy of the last convolutions of `base`.

    Args:
        base: the discriminator to start from; its modules become part of this one.
        heads: names of the heads.
    """

    def __init__(self, base: Discriminator, heads: Sequence[str]):
        super().__init__()
        self.base = base
        last_convs = [tower[-1][0] for tower in base.towers()]
        self.heads = nn.ModuleDict({name: nn.ModuleList(map(_copy_of, last_convs)) for name in heads})
        for conv in last_convs:  # not trained, only kept so that the keys of base stay complete
            conv.requires_grad_(False)

    def trunk(self, x: Tensor) -> Activations:
        """Map images (N, input_nc, H, W) to the activations phi of each scale, which all heads share."""
        return self.base.trunk(x)

    def head(self, name: str, trunk: Sequence[Sequence[Tensor]]) -> DiscriminatorOutput:
        """Append the prediction (N, 1, h, w) of head `name` to the activations of each scale."""
        convs = self.heads[name].children()
        return [[*layers, conv(layers[-1])] for layers, conv in zip(trunk, convs, strict=True)]

    def forward(self, x: Tensor, name: str) -> DiscriminatorOutput:
        """Map images (N, input_nc, H, W) to all activations; the prediction of head `name` is last."""
        return self.head(name, self.trunk(x))


def _copy_of(conv: nn.Module) -> ElasticConv2d:
    assert isinstance(conv, nn.Conv2d)
    copy = ElasticConv2d(conv.in_channels, conv.out_channels, conv.kernel_size[0], stride=conv.stride,
                         padding=conv.padding, bias=conv.bias is not None)
    copy.load_state_dict(conv.state_dict())
    return copy.to(conv.weight.device)

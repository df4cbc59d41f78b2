"""Weight initialization with upstream's names (``--init_type``, ``--init_gain``)."""
from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import init

from ..runtime.text import unknown

INIT_TYPES = ("normal", "xavier", "kaiming", "orthogonal")


def initialize(net: nn.Module, init_type: str = "normal", init_gain: float = 0.02) -> nn.Module:
    """Initialize a network in place.

    The weights of convolutions and linear layers are drawn from the distribution `init_type`, their biases
    are 0. The weights of batch norms are drawn from N(1, init_gain^2), their biases are 0.

    Args:
        net: the network.
        init_type: normal (N(0, init_gain^2)), xavier, kaiming or orthogonal.
        init_gain: standard deviation of normal, gain of xavier and orthogonal.

    Raises:
        ValueError: unknown `init_type`.
    """
    if init_type not in INIT_TYPES:
        raise ValueError(unknown(f"--init_type {init_type}", init_type, INIT_TYPES))
    draw_weight: Callable[[Tensor], Tensor] = {
        "normal": lambda w: init.normal_(w, 0.0, init_gain),
        "xavier": lambda w: init.xavier_normal_(w, gain=init_gain),
        "kaiming": lambda w: init.kaiming_normal_(w, a=0, mode="fan_in"),
        "orthogonal": lambda w: init.orthogonal_(w, gain=init_gain)}[init_type]
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            # with spectral norm the parameter is weight_orig, and weight is computed from it
            draw_weight(getattr(module, "weight_orig", module.weight))
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            init.normal_(module.weight, 1.0, init_gain)
            init.zeros_(module.bias)
    return net

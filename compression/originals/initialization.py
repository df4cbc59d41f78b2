"""Weight initialization by upstream's names (``--init_type``, ``--init_gain``)."""
from __future__ import annotations

from torch import nn
from torch.nn import init

INIT_TYPES = ("normal", "xavier", "kaiming", "orthogonal")


def initialize(net: nn.Module, init_type: str = "normal", init_gain: float = 0.02) -> nn.Module:
    """Initialize convolutions and linear layers by `init_type`, biases to 0, batch-norm scales to N(1, init_gain).

    Raises:
        ValueError: if `init_type` is not one of normal, xavier, kaiming, orthogonal.
    """
    if init_type not in INIT_TYPES:
        raise ValueError(f"--init_type {init_type} is unknown, known: {', '.join(INIT_TYPES)}")
    fill = {"normal": lambda w: init.normal_(w, 0.0, init_gain),
            "xavier": lambda w: init.xavier_normal_(w, gain=init_gain),
            "kaiming": lambda w: init.kaiming_normal_(w, a=0, mode="fan_in"),
            "orthogonal": lambda w: init.orthogonal_(w, gain=init_gain)}[init_type]
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            fill(getattr(module, "weight_orig", module.weight))  # with spectral norm, what its weight is made of
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            init.normal_(module.weight, 1.0, init_gain)
            init.zeros_(module.bias)
    return net

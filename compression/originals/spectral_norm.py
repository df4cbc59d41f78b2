"""Spectral norm (Miyato et al., ICLR 2018) with the keys that SPADE's checkpoints have, and without it."""
from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

_SUFFIXES = ("_orig", "_u", "_v")


def add_spectral_norm(*layers: nn.Module) -> None:
    """Divide the weight of each layer by its largest singular value: keys ``weight_orig, weight_u, weight_v``."""
    for layer in layers:
        nn.utils.spectral_norm(layer)


def fold_spectral_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with every ``weight_orig, weight_u, weight_v`` replaced by the ``weight`` they make in eval mode."""
    folded = {key: value for key, value in state.items()
              if not any(key.endswith(f".weight{suffix}") for suffix in _SUFFIXES)}
    for key, weight in state.items():
        name = key.removesuffix("_orig")
        if key.endswith(".weight_orig") and f"{name}_u" in state:
            matrix, u = weight.flatten(1), state[f"{name}_u"]
            v = state.get(f"{name}_v")
            if v is None:  # files of torch before 1.0 keep u alone
                v = F.normalize(matrix.t() @ u, dim=0)
            folded[name] = weight / (u @ (matrix @ v))
    return folded

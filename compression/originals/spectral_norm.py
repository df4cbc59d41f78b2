"""Spectral norm (Miyato et al., ICLR 2018) with the keys of SPADE's checkpoints, and its removal."""
from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

_SUFFIXES = ("_orig", "_u", "_v")


def add_spectral_norm(*layers: nn.Module) -> None:
    """Divide the weight of each layer by its largest singular value.

    The weight becomes W / sigma with sigma = u^T W v, where u and v are estimates of the first singular
    vectors of W, flattened to (outputs, -1). A power iteration updates them in training mode. The state dict
    has the keys ``weight_orig`` (W), ``weight_u`` and ``weight_v``.
    """
    for layer in layers:
        nn.utils.spectral_norm(layer)


def has_spectral_norm(net: nn.Module) -> bool:
    """Return whether a layer of `net` has spectral norm."""
    return any(name.endswith("weight_orig") for name, _ in net.named_parameters())


def fold_spectral_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace ``weight_orig``, ``weight_u`` and ``weight_v`` in a state dict by the weight W / (u^T W v).

    This is the weight that the layer uses in eval mode. Files of PyTorch before 1.0 have no v; it is then
    W^T u / ||W^T u||.
    """
    folded = {key: value for key, value in state.items()
              if not any(key.endswith(f".weight{suffix}") for suffix in _SUFFIXES)}
    for key, weight in state.items():
        name = key.removesuffix("_orig")
        if key.endswith(".weight_orig") and f"{name}_u" in state:
            matrix = weight.flatten(1)
            u = state[f"{name}_u"]
            v = state.get(f"{name}_v")
            if v is None:
                v = F.normalize(matrix.t() @ u, dim=0)
            folded[name] = weight / (u @ (matrix @ v))
    return folded

"""Sub-networks cut out of a supernet, and batch-norm statistics made right for them."""
from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .arch import Arch
from ..runtime.modes import eval_mode
from .trace import trace


@torch.no_grad()
def extract(supernet, arch: Arch):
    """The slice `arch` of a supernet as a network of its own: the same class, built for `arch`.

    Both networks are traced; the i-th layer that the slice runs and the i-th layer of the new network are the same
    layer, so its tensors are copied. The output equals ``supernet(x, arch)`` in eval mode. The new network has no
    dropout (a small network has nothing to spare) and lives on the supernet's device.

    Raises:
        ValueError: if `arch` is of another family or exceeds the supernet.
    """
    if not arch.fits(supernet.full):
        raise ValueError(f"{arch} is no slice of the supernet, which is {supernet.full}")
    device = next(supernet.parameters()).device
    config = {**supernet.config, **({"dropout": False} if "dropout" in supernet.config else {})}
    net = type(supernet)(arch, **config).to(device)
    input_nc, size = supernet.config["input_nc"], supernet.example_input_size
    source, target = trace(supernet, input_nc, size, arch), trace(net, input_nc, size)
    filled = set()
    for ours, theirs in zip(target, source, strict=True):
        for role, tensor in ours.tensors.items():
            if isinstance(tensor, Tensor):
                tensor.copy_(theirs.tensors[role])
                filled.add(id(tensor if isinstance(tensor, nn.Parameter) else tensor._base))
    if any(id(parameter) not in filled for parameter in net.parameters()):
        raise RuntimeError(f"{type(net).__name__} has parameters that its forward pass never uses")
    return net.train(supernet.training)


@torch.no_grad()
def calibrate(net: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Re-estimate the BatchNorm statistics of an extracted network in place.

    The statistics of a slice are not the slice of the statistics (once-for-all, ICLR 2020; slimmable networks). They
    become the plain average over `batches` of inputs (N, C, H, W). Without BatchNorm nothing is run.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]
    if not norms:
        return net
    with eval_mode(net):
        momenta = [m.momentum for m in norms]
        try:
            for m in norms:
                m.reset_running_stats()
                m.momentum = None  # cumulative average
                m.train()
            for batch in batches:
                net(batch)
        finally:
            for m, momentum in zip(norms, momenta):
                m.momentum = momentum
    return net

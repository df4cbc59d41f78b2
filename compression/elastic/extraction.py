"""Extraction of sub-networks from a supernet, and calibration of their batch-norm statistics."""
from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..runtime.modes import eval_mode
from .arch import Arch
from .generator import ElasticGenerator
from .trace import trace


@torch.no_grad()
def extract(supernet: ElasticGenerator, arch: Arch) -> ElasticGenerator:
    """Extract the sub-network `arch` of a supernet as a new network of the same class, built for `arch`.

    The i-th layer that the supernet runs for `arch` and the i-th layer of the new network are the same layer.
    Both networks are traced, and each weight is copied from its slice in the supernet. In eval mode the
    output equals ``supernet(x, arch)``. The new network has no dropout (a small network has no capacity to
    spare) and is on the supernet's device.

    Raises:
        ValueError: `arch` belongs to another family or exceeds the supernet.
    """
    if not arch.fits(supernet.full):
        raise ValueError(f"{arch} is not a sub-network of the supernet, which is {supernet.full}")
    device = next(supernet.parameters()).device
    config = dict(supernet.config)
    if "dropout" in config:
        config["dropout"] = False
    net = type(supernet)(arch, **config).to(device)
    input_nc = supernet.config["input_nc"]
    size = supernet.example_input_size
    sources = trace(supernet, input_nc, size, arch)
    targets = trace(net, input_nc, size)
    filled = set()
    for target, source in zip(targets, sources, strict=True):
        for role, tensor in target.tensors.items():
            if isinstance(tensor, Tensor):
                tensor.copy_(source.tensors[role])
                filled.add(id(tensor if isinstance(tensor, nn.Parameter) else tensor._base))
    if any(id(parameter) not in filled for parameter in net.parameters()):
        raise RuntimeError(f"{type(net).__name__} has parameters that its forward pass never uses")
    return net.train(supernet.training)


@torch.no_grad()
def calibrate(net: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Re-estimate the BatchNorm statistics of an extracted network in place.

    The running statistics of the full network are wrong for a sub-network, because its inputs to each norm
    differ (slimmable networks, ICLR 2019; once-for-all, ICLR 2020). They are replaced by the plain average
    over `batches` of the batch mean and of the unbiased batch variance. A network without BatchNorm is
    returned without a forward pass.

    Args:
        net: the network, called with one batch.
        batches: network inputs (N, C, H, W).
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
            for m, momentum in zip(norms, momenta, strict=True):
                m.momentum = momentum
    return net

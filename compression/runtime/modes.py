"""Context managers that change the state of modules and restore it afterwards."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase as Norm


@contextmanager
def eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Set the modules to eval mode, and restore the mode of every submodule at the end."""
    before = [(m, m.training) for module in modules for m in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def deterministic(*modules: nn.Module) -> Iterator[None]:
    """Set everything but norms to eval mode, and restore the mode of every submodule at the end.

    Equal networks then have equal outputs for the same batch: batch norms normalize by the statistics of the
    batch as in training, but without dropout or power iterations of a spectral norm.
    """
    before = [(m, m.training) for module in modules for m in module.modules() if not isinstance(m, Norm)]
    try:
        for module, _ in before:
            module.training = False
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def untracked(*modules: nn.Module) -> Iterator[None]:
    """Restore the running statistics of batch norms at the end."""
    norms = [m for module in modules for m in module.modules() if isinstance(m, Norm)]
    statistics = [statistic for norm in norms for statistic in norm.buffers()]
    before = [statistic.clone() for statistic in statistics]
    try:
        yield
    finally:
        for statistic, value in zip(statistics, before, strict=True):
            statistic.copy_(value)


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Exclude all parameters from autograd, and restore the setting of each one at the end."""
    before = [(p, p.requires_grad) for module in modules for p in module.parameters()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, requires_grad in before:
            parameter.requires_grad_(requires_grad)

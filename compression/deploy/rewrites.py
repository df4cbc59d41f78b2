"""Exact rewrites of a generator: the same images, from layers that a runtime computes faster.

A pass changes a copy of the network in place. ``PASSES`` has all of them, and ``GAINS`` those from which a
runtime gains. The results differ only by rounding.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..elastic.generator import ElasticGenerator
from ..elastic.layers import NoNorm
from ..generators.spade import SpadeNorm
from ..originals.spectral_norm import fold_spectral_norm
from ..runtime.text import unknown
from .block_convolutions import BlockConv2d, BlockConvTranspose2d
from .spade_norms import FoldedSpadeNorm, is_fixed, scale_and_shift

_IMAGE_CHANNELS = 4  # a convolution with at most this many output channels returns an image
_IMAGE_KERNEL = 7  # of the image layer of a ResNet


@torch.no_grad()
def rewrite(net: ElasticGenerator, passes: Sequence[str]) -> ElasticGenerator:
    """Copy a generator and apply exact rewrites to the copy.

    The copy is called like the network, ``net(x)``, but runs only its full architecture. It is on the same
    device, every norm and dropout is in the same mode, and spectral norm is part of the weights.

    Args:
        net: the network. Batch norms are folded only where they are in eval mode.
        passes: names of ``PASSES``, in any order; ``GAINS`` has those of a runtime.

    Raises:
        ValueError: an unknown pass.
    """
    for name in passes:
        if name not in PASSES:
            raise ValueError(unknown(f"rewrite {name!r}", name, PASSES))
    copy = _copy(net)
    for name, apply in PASSES.items():
        if name in passes:
            apply(copy)
    return copy


def _copy(net: ElasticGenerator) -> ElasticGenerator:
    """Copy a generator and its modes; spectral norm becomes part of the weights."""
    config = dict(net.config)
    if "spectral" in config:
        config["spectral"] = False
    parameter = next(net.parameters())
    copy = type(net)(net.full, **config).to(parameter.device, parameter.dtype)
    copy.load_state_dict(fold_spectral_norm(net.state_dict()))
    for name, module in copy.named_modules():
        module.training = net.get_submodule(name).training
    if hasattr(net, "meta"):
        copy.meta = dict(net.meta)
    return copy.requires_grad_(False)


def fold_norms(net: ElasticGenerator) -> None:
    """Fold batch norms in eval mode into the convolution before them, and those of SPADE into gamma and beta.

    With scale s and shift t of the norm, the weight of an output channel is multiplied by s, and its bias b
    becomes s b + t.
    """
    fold_spade_norms(net)
    for conv_name, norm_name in _convolutions_before_norms(net):
        conv, norm = net.get_submodule(conv_name), net.get_submodule(norm_name)
        assert isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d))
        scale, shift = scale_and_shift(norm)
        outputs = 1 if isinstance(conv, nn.ConvTranspose2d) else 0
        shape = [1] * 4
        shape[outputs] = -1
        conv.weight.mul_(scale.view(shape))
        bias = shift if conv.bias is None else conv.bias * scale + shift
        conv.bias = nn.Parameter(bias, requires_grad=False)
        _replace(net, norm_name, NoNorm())


def fold_spade_norms(net: ElasticGenerator) -> None:
    """Compute gamma and beta of each norm of a SPADE generator by one convolution."""
    for name, module in _modules(net, SpadeNorm):
        _replace(net, name, FoldedSpadeNorm(module))


def strided_image_layer(net: ElasticGenerator) -> None:
    """Compute the 7x7 image layer in blocks of 2x2 pixels (:class:`BlockConv2d`)."""
    for name, conv in _modules(net, nn.Conv2d):
        is_wide = conv.kernel_size == (_IMAGE_KERNEL,) * 2 and conv.stride == (1, 1)
        if is_wide and conv.out_channels <= _IMAGE_CHANNELS and net.stride % 2 == 0:
            _replace(net, name, BlockConv2d(conv, 2))


def blocked_image_upsampling(net: ElasticGenerator) -> None:
    """Compute a transposed convolution to the image in blocks of pixels (:class:`BlockConvTranspose2d`)."""
    for name, conv in _modules(net, nn.ConvTranspose2d):
        if conv.out_channels <= _IMAGE_CHANNELS and conv.kernel_size[0] == conv.kernel_size[1]:
            _replace(net, name, BlockConvTranspose2d(conv))


def _modules(net: nn.Module, kind: type) -> list[tuple[str, Any]]:
    """List the modules of a type, (name, module)."""
    return [(name, module) for name, module in net.named_modules() if isinstance(module, kind)]


def _replace(net: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` in the place of the module `name` of a network."""
    parent, _, key = name.rpartition(".")
    module.train(net.get_submodule(name).training)
    net.get_submodule(parent).add_module(key, module.requires_grad_(False))


class _UseCounter(TorchFunctionMode):
    """Count how many functions get a tensor as an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: Counter[int] = Counter()
        self.alive: list[Tensor] = []  # an id must not be given to another tensor

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):  # not a shape or another attribute
            used = list(_tensors((args, list((kwargs or {}).values()))))
            self.uses.update(map(id, used))
            self.alive += [*used, result]
        return result


def _tensors(values: Any) -> Iterator[Tensor]:
    """Iterate over the tensors in nested sequences."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from _tensors(value)


def _convolutions_before_norms(net: ElasticGenerator) -> list[tuple[str, str]]:
    """List the fixed batch norms whose input is the output of a convolution that nothing else uses.

    The network runs once on the meta device, which has shapes but no values.

    Returns:
        (name of the convolution, name of the norm).
    """
    probe = type(net)(net.full, **net.config).to("meta").eval()
    fixed = {name for name, norm in _modules(net, nn.BatchNorm2d) if is_fixed(norm)}
    produced: dict[int, tuple[str, Tensor]] = {}
    consumed: dict[str, int] = {}
    for name, module in probe.named_modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(
                lambda module, args, output, name=name: produced.update({id(output): (name, output)}))
        elif name in fixed:
            module.register_forward_pre_hook(
                lambda module, args, name=name: consumed.update({name: id(args[0])}))
    height, width = probe.example_input_size
    with _UseCounter() as counter:
        probe(torch.empty(1, probe.config["input_nc"], height, width, device="meta"))
    return [(produced[used][0], norm) for norm, used in consumed.items()
            if used in produced and counter.uses[used] == 1]


PASSES: dict[str, Callable[[ElasticGenerator], None]] = {
    "fold_norms": fold_norms,
    "strided_image_layer": strided_image_layer,
    "blocked_image_upsampling": blocked_image_upsampling,
}

# runtime -> the passes from which it gains, measured on a CPU with AVX-512 (docs/deployment.md). The stem
# and the other transposed convolutions have enough channels: in blocks of pixels they are slower everywhere.
GAINS: dict[str, tuple[str, ...]] = {
    "torch": ("fold_norms", "strided_image_layer", "blocked_image_upsampling"),
    "onnxruntime": ("fold_norms", "strided_image_layer"),
    "openvino": ("fold_norms", "strided_image_layer", "blocked_image_upsampling"),
    "onnxruntime-web": ("fold_norms", "strided_image_layer", "blocked_image_upsampling"),
}

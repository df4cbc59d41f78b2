"""Cost of an architecture: multiply-accumulates and parameters, by arithmetic.

Every convolution costs kernel area x input channels x output channels x positions, so the cost of a network of given
depth is a quadratic form in its widths: ``w' Q w`` with the widths and a constant 1 in w. Q is read off one forward
pass (:mod:`compression.elastic.trace`) of a probe network in which every width is a different number.

`macs` follows the published tables: a transposed convolution is charged at its output size. `macs_exact` charges it
at its input size, the multiplications that really happen (equal to ``torch.utils.flop_counter`` / 2). Norms,
activations and resizing are not counted in either.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.registry import family_by_name
from ..elastic.trace import trace

# Probe widths: sums of two of them are all different (Erdos and Turan's Sidon set 2pk + (k*k mod p)), and each is a
# multiple of _STEP, so that channels = constant + up to two widths can be told apart.
_PRIME, _STEP = 61, 4096


@dataclass(frozen=True)
class CostModel:
    """Costs of architectures of one setting; see :func:`cost` for the arguments.

    ``model(archs)`` gives an integer array (len(archs), 3) with the columns macs, macs_exact and params.
    """

    size: tuple[int, int] = (256, 256)
    input_nc: int = 3
    output_nc: int = 3
    norm: str = "instance"
    settings: tuple[tuple[str, object], ...] = ()  # further constructor arguments of the generator

    def __call__(self, archs: Sequence[Arch]) -> np.ndarray:
        result = np.zeros((len(archs), 3), dtype=np.int64)
        by_skeleton: dict[tuple, list[int]] = {}
        for i, arch in enumerate(archs):
            by_skeleton.setdefault(arch.skeleton, []).append(i)
        for members in by_skeleton.values():
            forms = _forms(_probe(archs[members[0]]), self)
            widths = np.array([archs[i].widths + (1,) for i in members], dtype=np.float64)  # exact below 2**53
            result[members] = np.rint(np.einsum("ns,kst,nt->nk", widths, forms, widths, optimize=True)).astype(np.int64)
        return result

    def macs(self, archs: Sequence[Arch]) -> np.ndarray:
        """MACs of the published convention, (len(archs),) integers."""
        return self(archs)[:, 0]

    def cost(self, arch: Arch) -> dict[str, int]:
        """``{"macs", "macs_exact", "params"}`` of one architecture."""
        return dict(zip(("macs", "macs_exact", "params"), (int(v) for v in self([arch])[0])))

    @staticmethod
    def of(generator, size: tuple[int, int]) -> CostModel:
        """The cost model that fits a built generator, for one image of `size` (height, width)."""
        shared = {k: generator.config[k] for k in ("input_nc", "output_nc", "norm")}
        rest = tuple((k, v) for k, v in generator.config.items() if k not in (*shared, "dropout", "spectral"))
        return CostModel(tuple(size), **shared, settings=rest)


def cost(arch: Arch, size: tuple[int, int] | None = None, input_nc: int | None = None, output_nc: int = 3,
         norm: str | None = None, **settings) -> dict[str, int]:
    """Cost of one image.

    Args:
        arch: the architecture.
        size: (height, width) in pixels; None is the size of the published tables for the family.
        input_nc: input channels; None is that of the published tables (3 for images).
        output_nc: output channels.
        norm: the generator's norm (`batch` has parameters, `instance` none); None is that of the tables.
        settings: further constructor arguments of the generator, such as SPADE's `num_upsampling_layers`.

    Returns:
        ``{"macs", "macs_exact", "params"}``, integers.
    """
    family = family_by_name(arch.family)
    return CostModel(tuple(size or family.size), input_nc or family.input_nc, output_nc,
                     norm or family.norm, tuple(settings.items())).cost(arch)


def parse_macs(text: str | int | float) -> int:
    """``"1.3G"``, ``"800M"``, ``"12k"`` or a plain number -> an integer count.

    Raises:
        ValueError: if `text` is nothing of the kind or not positive.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?\d+)?)\s*([kKmMgGtT]?)\s*", str(text))
    value = float(match[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[match[2].upper()] if match else 0
    if value <= 0:
        raise ValueError(f"a budget is a positive number with an optional suffix K, M or G (1.3G), got {text!r}")
    return round(value)


def _probe(arch: Arch) -> Arch:
    if len(arch.widths) > _PRIME:
        raise ValueError(f"an architecture may have {_PRIME} widths, got {len(arch.widths)}")
    return arch.with_widths(tuple(_STEP * (2 * _PRIME * (_PRIME + k) + k * k % _PRIME) if w else 0
                                  for k, w in enumerate(arch.widths)))


@lru_cache(maxsize=4096)
def _forms(probe: Arch, setting: CostModel) -> np.ndarray:
    """Three quadratic forms (3, S + 1, S + 1) over the S widths and the constant 1."""
    with torch.device("meta"):
        net = family_by_name(probe.family).generator(probe, input_nc=setting.input_nc, output_nc=setting.output_nc,
                                                   norm=setting.norm, **dict(setting.settings))
    slots = {width: i for i, width in enumerate(probe.widths) if width}
    constant = len(probe.widths)
    forms = np.zeros((3, constant + 1, constant + 1))

    def linear(channels: int) -> list[tuple[int, int]]:
        """channels = constant + at most two widths, as [(slot, factor)]."""
        widths, rest = channels - channels % _STEP, channels % _STEP
        terms = [(constant, rest)] if rest else []
        if not widths or widths in slots:
            return terms + ([(slots[widths], 1)] if widths else [])
        for width, slot in slots.items():
            if widths - width in slots:
                return [*terms, (slot, 1), (slots[widths - width], 1)]
        raise ValueError(f"cannot explain {channels} channels by the widths of {probe}")

    def add(rows: Sequence[int], a: int, b: int, factor: int) -> None:
        for i, f in linear(a):
            for j, g in linear(b):
                forms[list(rows), i, j] += factor * f * g

    for call in trace(net, setting.input_nc, setting.size):
        weight: Tensor | None = call.tensors["weight"]
        if call.function is F.batch_norm:
            if weight is not None:
                add([2], weight.shape[0], 1, 2)
            continue
        transposed = call.function is F.conv_transpose2d
        inputs, outputs = (weight.shape[0], weight.shape[1]) if transposed else (weight.shape[1], weight.shape[0])
        kernel = weight.shape[2:].numel()
        add([0], inputs, outputs, kernel * call.output_area)
        add([1], inputs, outputs, kernel * (call.input_area if transposed else call.output_area))
        add([2], inputs, outputs, kernel)
        if call.tensors.get("bias") is not None:
            add([2], outputs, 1, 1)
    return forms

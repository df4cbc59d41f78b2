"""Cost model: multiply-accumulates (MACs) and parameters of an architecture, without building it.

A convolution with kernel area K, c_in input and c_out output channels costs K c_in c_out MACs at each of
its positions. So the cost of all architectures of one skeleton (same depths, same skipped positions) is a
quadratic form in their widths w:

    cost(w) = v' Q v,    v = (w_1, ..., w_S, 1)

Q is computed once for each skeleton, from a recorded forward pass (:mod:`compression.elastic.trace`) of a
probe network with distinct widths. There are three costs:

- ``macs`` follows the published tables: a transposed convolution counts at its output size.
- ``macs_exact`` counts it at its input size, which is the number of multiplications that are computed (half
  of what ``torch.utils.flop_counter`` reports).
- ``params`` is the number of parameters.

The MACs are those of convolutions; norms, activations, and resizing are not counted.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.generator import ElasticGenerator
from ..elastic.registry import family_by_name
from ..elastic.trace import trace
from ..runtime.text import printable

# The k-th width of a probe is _STEP times the k-th number of a Sidon set, in which the sums of two numbers
# are all different (Erdos and Turan, 1941: 2 p k + (k^2 mod p) with p prime). A layer's number of channels is
# a constant below _STEP plus at most two widths, so it shows which widths these are.
_PRIME = 61
_STEP = 4096

_COSTS = ("macs", "macs_exact", "params")


@dataclass(frozen=True)
class CostModel:
    """Computes the costs of architectures; see :func:`cost` for the attributes.

    ``cost_model(archs)`` returns integers (len(archs), 3) with the columns macs, macs_exact, and params.
    """

    size: tuple[int, int] = (256, 256)
    input_nc: int = 3
    output_nc: int = 3
    norm: str = "instance"
    settings: tuple[tuple[str, object], ...] = ()

    def __call__(self, archs: Sequence[Arch]) -> np.ndarray:
        costs = np.zeros((len(archs), len(_COSTS)), dtype=np.int64)
        by_skeleton: dict[tuple, list[int]] = {}
        for i, arch in enumerate(archs):
            by_skeleton.setdefault(arch.skeleton, []).append(i)
        for indices in by_skeleton.values():
            forms = _quadratic_forms(probe_of(archs[indices[0]]), self)
            vectors = np.array([(*archs[i].widths, 1) for i in indices], dtype=np.float64)
            values = np.einsum("ns,kst,nt->nk", vectors, forms, vectors, optimize=True)
            costs[indices] = np.rint(values).astype(np.int64)
        return costs

    def macs(self, archs: Sequence[Arch]) -> np.ndarray:
        """Compute the MACs (published convention) of architectures; (len(archs),) integers."""
        return self(archs)[:, 0]

    def cost(self, arch: Arch) -> dict[str, int]:
        """Compute ``{"macs", "macs_exact", "params"}`` of one architecture."""
        return {name: int(value) for name, value in zip(_COSTS, self([arch])[0], strict=True)}

    def network(self) -> dict[str, object]:
        """Return the constructor arguments of the network besides its architecture."""
        return {"input_nc": self.input_nc, "output_nc": self.output_nc, "norm": self.norm,
                **dict(self.settings)}

    @staticmethod
    def of(generator: ElasticGenerator, size: tuple[int, int]) -> CostModel:
        """Build the cost model for the sub-networks of a generator and images of `size` (height, width)."""
        height, width = size
        shared = {name: generator.config[name] for name in ("input_nc", "output_nc", "norm")}
        free_of_cost = ("dropout", "spectral")
        settings = tuple((name, value) for name, value in generator.config.items()
                         if name not in shared and name not in free_of_cost)
        return CostModel((height, width), **shared, settings=settings)


def cost(arch: Arch, size: tuple[int, int] | None = None, input_nc: int | None = None, output_nc: int = 3,
         norm: str | None = None, **settings) -> dict[str, int]:
    """Compute the cost of one image.

    Args:
        arch: the architecture.
        size: (height, width) of the image in pixels. The default is that of the published tables.
        input_nc: number of input channels. The default is that of the published tables.
        output_nc: number of output channels.
        norm: norm of the generator (``batch`` has parameters, ``instance`` has none). The default is that of
            the published tables.
        settings: further constructor arguments of the generator, such as SPADE's `num_upsampling_layers`.

    Returns:
        ``{"macs", "macs_exact", "params"}``, integers.
    """
    family = family_by_name(arch.family)
    height, width = size or family.size
    cost_model = CostModel((height, width), input_nc or family.input_nc, output_nc, norm or family.norm,
                           tuple(settings.items()))
    return cost_model.cost(arch)


def parse_macs(text: str | int | float) -> int:
    """Parse a budget: ``"1.3G"``, ``"800M"``, ``"12k"``, or a plain number.

    Raises:
        ValueError: if `text` is not such a number, or outside the range.
    """
    digits = r"([0-9]+\.?[0-9]*|\.[0-9]+)"
    match = re.fullmatch(rf"\s*({digits}(?:[eE][+-]?[0-9]+)?)\s*([kKmMgGtT]?)\s*", str(text))
    scales = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    value = float(match[1]) * scales[match[3].upper()] if match else 0
    if not 1 <= value <= 1e18:
        raise ValueError("a budget is a number from 1 to 1e18 with an optional suffix k, M, G, or T (1.3G), "
                         f"got {printable(text, 40)!r}")
    return round(value)


def probe_of(arch: Arch) -> Arch:
    """Build an architecture of the same skeleton with the probe widths."""
    if len(arch.widths) > _PRIME:
        raise ValueError(f"an architecture has at most {_PRIME} widths, got {len(arch.widths)}")
    probe_widths = []
    for k, width in enumerate(arch.widths):
        sidon_number = 2 * _PRIME * (_PRIME + k) + k * k % _PRIME
        probe_widths.append(_STEP * sidon_number if width else 0)
    return arch.with_widths(tuple(probe_widths))


@lru_cache(maxsize=4096)
def _quadratic_forms(probe: Arch, model: CostModel) -> np.ndarray:
    """Compute Q of each cost, (3, S + 1, S + 1) for S widths, from the layers of a probe network."""
    generator = family_by_name(probe.family).generator
    with torch.device("meta"):
        net = generator(probe, input_nc=model.input_nc, output_nc=model.output_nc, norm=model.norm,
                        **dict(model.settings))
    variables = len(probe.widths) + 1
    forms = np.zeros((len(_COSTS), variables, variables))  # float64: integers below 2**53 are exact
    macs, macs_exact, params = forms

    def add(form: np.ndarray, a: int, b: int, factor: int) -> None:
        """Add `factor` times a product of two numbers of channels to a quadratic form."""
        for i, multiple_i in linear_terms(a, probe):
            for j, multiple_j in linear_terms(b, probe):
                form[i, j] += factor * multiple_i * multiple_j

    for call in trace(net, model.input_nc, model.size):
        weight = call.tensors["weight"]
        if weight is None:  # a norm without parameters
            continue
        if call.function is F.batch_norm:
            add(params, weight.shape[0], 1, 2)  # weight and bias
            continue
        if call.function is F.conv_transpose2d:
            inputs, outputs = weight.shape[:2]
            computed_area = call.input_area
        else:
            outputs, inputs = weight.shape[:2]
            computed_area = call.output_area
        kernel_area = weight.shape[2:].numel()
        add(macs, inputs, outputs, kernel_area * call.output_area)
        add(macs_exact, inputs, outputs, kernel_area * computed_area)
        add(params, inputs, outputs, kernel_area)
        if call.tensors.get("bias") is not None:
            add(params, outputs, 1, 1)
    return forms


def linear_terms(channels: int, probe: Arch) -> list[tuple[int, int]]:
    """Express a probe's number of channels as a constant plus at most two widths.

    Returns:
        (position in v, multiple) of each term. The constant is the last position.
    """
    positions = {width: i for i, width in enumerate(probe.widths) if width}
    constant = channels % _STEP
    widths = channels - constant
    terms = [(len(probe.widths), constant)] if constant else []
    if not widths:
        return terms
    if widths in positions:
        return [*terms, (positions[widths], 1)]
    for width, position in positions.items():
        if widths - width in positions:
            return [*terms, (position, 1), (positions[widths - width], 1)]
    raise ValueError(f"cannot express {channels} channels by the widths of {probe}")

"""Prediction of the latency of architectures, from a few measured ones.

A runtime fuses layers and works on vectors of channels, so the time of a network is neither proportional to
its MACs nor the sum of the times of its separate layers. So the model is fitted to the times of whole
sub-networks. With groups g of layers that have the same kernel and resolution, the predicted time is

    t = sum_g sum_f theta_gf sum_{layers of g} x_f,    theta >= 0,

where the terms x_f of a layer with c_in input and c_out output channels are 1, its MACs, the MACs with c_out
rounded up to full vectors, and the numbers of input and of output values. The relative errors are minimized
with a small penalty of theta^2, as a network has more terms than are certain from a few measurements.
"""
from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

from ..elastic.arch import Arch
from ..elastic.registry import family_by_name
from ..elastic.trace import trace
from .macs import CostModel, linear_terms, probe_of

_LANES = 16  # single-precision numbers in a vector of AVX-512
_TERMS = 5  # of each layer
_PENALTY = 0.01
_ITERATIONS = 300  # of the coordinate descent, at most
_TOLERANCE = 1e-4  # relative change at which it ends
_FOLDS = 6  # of the cross-validation
_CONVOLUTIONS = (F.conv2d, F.conv_transpose2d, F.linear)

Group = tuple[str, int, int, int]  # function, kernel area, input and output area


class Layers:
    """The layers of all architectures of one skeleton, with their channels as functions of the widths.

    Attributes:
        groups: the group of each layer.
        inputs, outputs: (layers, S + 1), channels of a layer as a linear form in (w_1, ..., w_S, 1).
        constants: (layers, 3), kernel area, input area, and output area.
    """

    def __init__(self, probe: Arch, model: CostModel):
        generator = family_by_name(probe.family).generator
        with torch.device("meta"):
            net = generator(probe, input_nc=model.input_nc, output_nc=model.output_nc, norm=model.norm,
                            **dict(model.settings))
        self.groups: list[Group] = []
        inputs, outputs, constants = [], [], []
        for call in trace(net, model.input_nc, model.size):
            if call.function not in _CONVOLUTIONS:
                continue
            weight = call.tensors["weight"]
            first, second = weight.shape[:2]
            is_transposed = call.function is F.conv_transpose2d
            kernel_area = weight.shape[2:].numel()
            self.groups.append((call.function.__name__, kernel_area, call.input_area, call.output_area))
            inputs.append(_form(first if is_transposed else second, probe))
            outputs.append(_form(second if is_transposed else first, probe))
            constants.append((kernel_area, call.input_area, call.output_area))
        self.inputs = np.array(inputs)
        self.outputs = np.array(outputs)
        self.constants = np.array(constants, dtype=float)

    def terms(self, widths: np.ndarray) -> np.ndarray:
        """Compute the terms of each layer.

        Args:
            widths: (N, S).

        Returns:
            (N, layers, terms).
        """
        vectors = np.concatenate((widths, np.ones((len(widths), 1))), 1)
        c_in, c_out = vectors @ self.inputs.T, vectors @ self.outputs.T
        kernel, area_in, area_out = self.constants.T
        products = kernel * np.minimum(area_in, area_out) * c_in / 1e6
        full_vectors = np.ceil(c_out / _LANES) * _LANES
        return np.stack((np.ones_like(c_in), products * c_out, products * full_vectors,
                         c_in * area_in / 1e6, c_out * area_out / 1e6), 2)


def _form(channels: int, probe: Arch) -> np.ndarray:
    """Express a number of channels as a linear form in the widths and 1."""
    form = np.zeros(len(probe.widths) + 1)
    for position, multiple in linear_terms(channels, probe):
        form[position] += multiple
    return form


@lru_cache(maxsize=4096)
def _layers(probe: Arch, model: CostModel) -> Layers:
    return Layers(probe, model)


class LatencyModel:
    """Predicts the latency of architectures in milliseconds.

    Args:
        cost_model: gives the size of the image and the constructor arguments of the networks.
        archs: the measured architectures.
        milliseconds: their latencies.
    """

    def __init__(self, cost_model: CostModel, archs: Sequence[Arch], milliseconds: np.ndarray):
        self.cost_model = cost_model
        groups = {group for arch in archs for group in _layers(probe_of(arch), cost_model).groups}
        self.positions = {group: i for i, group in enumerate(sorted(groups))}
        terms = self._terms(archs) / milliseconds[:, None]
        self.theta = _fit(terms)
        self.median_error = _cross_validate(terms)

    def __call__(self, archs: Sequence[Arch]) -> np.ndarray:
        """Predict the latencies of architectures; (len(archs),) milliseconds."""
        return self._terms(archs) @ self.theta

    def _terms(self, archs: Sequence[Arch]) -> np.ndarray:
        """Compute the terms of each group of layers; (len(archs), groups x terms)."""
        sums = np.zeros((len(archs), len(self.positions), _TERMS))
        by_skeleton: dict[tuple, list[int]] = {}
        for i, arch in enumerate(archs):
            by_skeleton.setdefault(arch.skeleton, []).append(i)
        for indices in by_skeleton.values():
            layers = _layers(probe_of(archs[indices[0]]), self.cost_model)
            terms = layers.terms(np.array([archs[i].widths for i in indices], dtype=float))
            for k, group in enumerate(layers.groups):
                if group in self.positions:  # else no measured architecture has such layers
                    sums[indices, self.positions[group]] += terms[:, k]
        return sums.reshape(len(archs), -1)


def _fit(terms: np.ndarray) -> np.ndarray:
    """Fit theta >= 0 to minimize the mean of (terms theta - 1)^2 plus the penalty, by coordinate descent.

    Args:
        terms: (N, P), terms of the measured architectures, divided by their latencies.
    """
    scale = np.sqrt(np.square(terms).mean(0)) + 1e-12
    scaled = terms / scale
    gram = scaled.T @ scaled + _PENALTY * len(terms) * np.eye(terms.shape[1])
    target = scaled.sum(0)
    theta = np.maximum(0, np.linalg.solve(gram, target))
    for _ in range(_ITERATIONS):
        before = theta.copy()
        for j in range(len(theta)):
            theta[j] = max(0.0, theta[j] + (target[j] - gram[j] @ theta) / gram[j, j])
        if np.abs(theta - before).max() < _TOLERANCE * theta.max():
            break
    return theta / scale


def _cross_validate(terms: np.ndarray) -> float:
    """Compute the median relative error of the predictions for architectures that the fit does not use."""
    folds = np.arange(len(terms)) % _FOLDS
    errors = [np.abs(terms[folds == fold] @ _fit(terms[folds != fold]) - 1) for fold in range(_FOLDS)]
    return float(np.median(np.concatenate(errors)))

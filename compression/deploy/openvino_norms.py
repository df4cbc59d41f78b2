"""Instance norms of large images in OpenVINO, whose own ones are imprecise."""
from __future__ import annotations

from typing import Any

import numpy as np

from .packages import require

_LARGE = 2 ** 12  # positions of a plane
_LARGEST_WINDOW = 32


def average_in_windows(model: Any) -> None:
    """Compute the statistics of instance norms over large planes as means of the means of windows.

    OpenVINO adds up the values of a plane one by one in float32. Over the planes of a Pix2PixHD network for
    512x1024, the errors of these sums made images wrong by 0.01 to 0.02 on the scale from -1 to 1; means of
    windows are exact to 2e-5, at the same speed.

    Args:
        model: a model of OpenVINO that computes in fp32, which is changed. Planes of a dynamic size, and
            those whose sides are primes, stay as they are.
    """
    operators = require("openvino.opset13")
    for norm in model.get_ordered_ops():
        if norm.get_type_name() != "MVN":
            continue
        x = norm.input_value(0)
        sides = list(x.get_partial_shape())[2:]
        if len(sides) != 2 or any(side.is_dynamic for side in sides) or not _is_over_planes(norm):
            continue
        height, width = (side.get_length() for side in sides)
        window = [_largest_divisor(height), _largest_divisor(width)]
        if height * width < _LARGE or window == [1, 1]:
            continue
        result = _normalize(operators, x, window, norm.get_attributes()["eps"])
        for target in norm.output(0).get_target_inputs():
            target.replace_source_output(result.output(0))


def _is_over_planes(norm: Any) -> bool:
    """Return whether a norm is that of instances: over height and width, eps inside the root."""
    axes = norm.input_value(1).get_node()
    attributes = norm.get_attributes()
    return (axes.get_type_name() == "Constant" and sorted(axes.get_data().tolist()) in ([2, 3], [-2, -1])
            and attributes["normalize_variance"] and attributes["eps_mode"].lower() == "inside_sqrt")


def _largest_divisor(side: int) -> int:
    return max(k for k in range(1, _LARGEST_WINDOW + 1) if side % k == 0)


def _normalize(operators: Any, x: Any, window: list[int], eps: float) -> Any:
    """Build (x - mean) / sqrt(variance + eps)."""
    def mean_of(values: Any) -> Any:
        windows = operators.avg_pool(values, window, [0, 0], [0, 0], window, False, "floor", "explicit")
        return operators.reduce_mean(windows, operators.constant(np.array([2, 3])), True)

    mean = mean_of(x)
    variance = mean_of(operators.squared_difference(x, mean))
    scale = operators.power(operators.add(variance, operators.constant(np.float32(eps))),
                            operators.constant(np.float32(-0.5)))
    return operators.multiply(operators.subtract(x, mean), scale)

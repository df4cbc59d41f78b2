"""The time of a call."""
from __future__ import annotations

import statistics
import time
from collections.abc import Callable

_WARM_UP = 2  # calls that are not measured
_MIN_CALLS = 3
_MAX_CALLS = 10_000


def median_ms(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Measure the median time of a call in milliseconds.

    Args:
        call: returns when its work is done, on a GPU too.
        seconds: duration of the measurement; at least 3 calls are measured after 2 calls of warm-up.
    """
    times: list[float] = []
    for i in range(_WARM_UP + _MAX_CALLS):
        start = time.perf_counter()
        call()
        elapsed = time.perf_counter() - start
        if i >= _WARM_UP:
            times.append(elapsed)
        if len(times) >= _MIN_CALLS and sum(times) > seconds:
            break
    return 1000 * statistics.median(times)

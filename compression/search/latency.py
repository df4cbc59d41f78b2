"""Measured time of one forward pass."""
from __future__ import annotations

import statistics
import time

import torch
from torch import nn

from ..runtime.modes import eval_mode


@torch.no_grad()
def latency_ms(net: nn.Module, input_nc: int, size: tuple[int, int], seconds: float = 1.0) -> float:
    """Median milliseconds for one image of `size` (height, width), fp32, on the network's device.

    Runs for about `seconds` (at least 3 passes) after two passes of warm-up.
    """
    device = next(net.parameters()).device
    x = torch.randn(1, input_nc, *size, generator=torch.Generator().manual_seed(0)).to(device)
    times: list[float] = []
    with eval_mode(net):
        for i in range(10_000):
            begin = time.perf_counter()
            net(x)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if i >= 2:
                times.append(time.perf_counter() - begin)
            if len(times) >= 3 and sum(times) > seconds:
                break
    return 1000 * statistics.median(times)

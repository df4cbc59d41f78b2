"""Latency of one forward pass."""
from __future__ import annotations

import os
import platform
from datetime import datetime

import torch
from torch import nn

from ..runtime.modes import eval_mode
from ..runtime.timing import median_ms


def conditions(device: torch.device) -> dict[str, str | int]:
    """Describe the conditions of a measurement: device, machine, threads, and date."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {"device": str(device), "machine": gpu or f"{platform.machine()}, {os.cpu_count()} cores",
            "threads": torch.get_num_threads(), "date": datetime.now().isoformat(" ", "minutes")}


@torch.no_grad()
def latency_ms(net: nn.Module, input_nc: int, size: tuple[int, int], seconds: float = 1.0) -> float:
    """Measure the latency of a network on its device: the median time for one image in fp32, in milliseconds.

    Args:
        net: the network.
        input_nc: number of input channels.
        size: (height, width) of the image in pixels.
        seconds: duration of the measurement; at least 3 passes are measured after 2 passes of warm-up.
    """
    device = next(net.parameters()).device
    x = torch.randn(1, input_nc, *size, generator=torch.Generator().manual_seed(0)).to(device)

    def run() -> None:
        net(x)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with eval_mode(net):
        return median_ms(run, seconds)

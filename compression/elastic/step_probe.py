"""Measures which precision and memory layout run convolutions fastest on a device."""
from __future__ import annotations

import time
from functools import cache

import torch
from torch import Tensor, nn

from .layers import ElasticInstanceNorm2d

MARGIN = 1.15  # how much faster another setting must be than fp32 in the contiguous layout; above noise
# of channels-last in fp32, by the type of the device; on a CPU, complete steps gain more than convolutions
LAYOUT_MARGINS = {"cpu": 0.95}
_SECONDS = 0.3  # budget of a probe
_MOST_REPETITIONS = 8
# (precision of --amp, whether the layout is channels-last)
Setting = tuple[str, bool]
SETTINGS: tuple[Setting, ...] = (("none", False), ("none", True), ("bf16", True))


@cache
def measure_settings(device: torch.device) -> dict[Setting, float]:
    """Measure forward and backward passes of typical convolutions, once in a process for each device.

    The convolutions are those of a ResNet's trunk and of a U-Net or discriminator, with the norms after them.

    Returns:
        Setting -> least seconds of a pass.
    """
    state = torch.get_rng_state()
    try:
        networks = {setting: _build(device, setting[1]) for setting in SETTINGS}
    finally:
        torch.set_rng_state(state)
    start = time.perf_counter()
    seconds = {setting: float("inf") for setting in SETTINGS}
    for repetition in range(_MOST_REPETITIONS):
        for setting, (net, x) in networks.items():
            measured = _pass_seconds(net, x, setting[0])
            if repetition:  # the first passes choose and load kernels
                seconds[setting] = min(seconds[setting], measured)
        spent = time.perf_counter() - start
        if repetition and spent + spent / (repetition + 1) > _SECONDS:
            break
    return seconds


def choose_setting(seconds: dict[Setting, float], amp: str, channels_last: bool | str,
                   layout_margin: float = MARGIN) -> Setting:
    """Choose the fastest setting; others than fp32 in the contiguous layout need a margin.

    Args:
        seconds: those of :func:`measure_settings`.
        amp: a precision that is given, or "auto".
        channels_last: a layout that is given, or "auto".
        layout_margin: the margin of channels-last in fp32.
    """
    reference = seconds["none", False]
    low_gains = reference >= MARGIN * seconds["bf16", True]
    layout_gains = reference >= layout_margin * seconds["none", True]
    if amp == "auto":
        rival = seconds["none", layout_gains if channels_last == "auto" else bool(channels_last)]
        amp = "bf16" if channels_last is not False and rival >= MARGIN * seconds["bf16", True] else "none"
    if channels_last == "auto":
        channels_last = layout_gains if amp == "none" else low_gains or layout_gains
    return amp, bool(channels_last)


def _build(device: torch.device, channels_last: bool) -> tuple[nn.Module, Tensor]:
    layers = [nn.Conv2d(64, 128, 4, stride=2, padding=1), ElasticInstanceNorm2d(128), nn.LeakyReLU(0.2),
              nn.Conv2d(128, 128, 3, padding=1), ElasticInstanceNorm2d(128), nn.ReLU()]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = nn.Sequential(*layers).to(device, memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(1, 64, 64, 64).to(device, memory_format=layout).requires_grad_()
    return net, x


def _pass_seconds(net: nn.Module, x: Tensor, amp: str) -> float:
    """Measure the seconds of one forward and backward pass."""
    device = x.device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=amp == "bf16"):
        loss = net(x).float().sum()
    loss.backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start

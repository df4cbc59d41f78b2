"""The CPU cores that this process may use, and how many of them are idle. Does not import PyTorch."""
from __future__ import annotations

import math
import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")
_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return the number of cores that this process may use: affinity and the limit of its cgroup count."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _cgroup_cores()
    return max(1, cores if limit is None else min(cores, math.ceil(limit)))


def _cgroup_cores() -> float | None:
    """Read the CPU limit of the cgroup (version 2 or 1) in cores; None without a limit."""
    try:
        quota, period = (_CGROUP / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        quota_us = int((_CGROUP / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii"))
        period_us = int((_CGROUP / "cpu/cpu.cfs_period_us").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def idle_cores(seconds: float = 0.2) -> float | None:
    """Measure how many of the usable cores are idle, on average over a short time.

    Processes with a higher nice value than this one yield to it, so that their time counts as idle.

    Args:
        seconds: duration of the measurement.

    Returns:
        The number of idle cores, or None where the system does not report it (others than Linux).
    """
    before = _core_times()
    time.sleep(seconds if before else 0)
    after = _core_times()
    if not before or not after:
        return None
    idle = total = 0
    for core in before.keys() & after.keys():
        idle += after[core][0] - before[core][0]
        total += after[core][1] - before[core][1]
    return min(len(before) * idle / total, usable_cores()) if total > 0 else None


def _core_times() -> dict[int, tuple[int, int]] | None:
    """Read (idle, total) time of each usable core in clock ticks; None if the system does not report it."""
    try:
        lines = _STAT.read_text(encoding="ascii").splitlines()
        usable = os.sched_getaffinity(0)
        counts_nice = os.nice(0) <= 0
    except (OSError, AttributeError):
        return None
    times: dict[int, tuple[int, int]] = {}
    for line in lines:
        name, *values = line.split()
        if not name.startswith("cpu") or not name[3:].isdigit() or int(name[3:]) not in usable:
            continue
        numbers = [int(value) for value in values[:8]]
        user_nice, idle, wait_for_io = numbers[1], numbers[3], numbers[4]
        times[int(name[3:])] = (idle + wait_for_io + (user_nice if counts_nice else 0), sum(numbers))
    return times or None

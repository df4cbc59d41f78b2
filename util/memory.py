"""Compare the memory that a training step needs with the memory that is free."""
from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.utils.data import Dataset, default_collate

from compression.runtime import distributed

from .entry import one_line

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
# (folder, files of the limit and of the usage, entry of memory.stat for files that can be read again)
_CGROUP_FILES = (("", "memory.max", "memory.current", "inactive_file"),
                 ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))


def report_memory(model, dataset: Dataset, batch_size: int) -> None:
    """Print the memory that a training step needs, and the free memory; warn if it is too little.

    Args:
        model: its ``memory_needed(batch)`` computes the memory of a step.
        dataset: the training set; a batch is formed by repeating its first item.
        batch_size: items of a batch.
    """
    batch = default_collate([dataset[0]] * batch_size)
    try:
        need = model.memory_needed(batch)
        most = model.memory_needed(batch, largest=True) if model.steps_differ() else need
    except Exception as error:  # of a network that cannot run without data; training runs it with data
        print(f"memory of a step: not known ({one_line(error)[:200]})")
        return
    free = free_memory(model.device)
    if free is not None and model.device.type == "cpu":
        free //= distributed.local_world_size()
    at_most = f", at most {most.peak / 2 ** 30:.2f} GiB" if most.peak > need.peak else ""
    free_text = f"; {free / 2 ** 30:.2f} GiB are free" if free is not None else ""
    print(f"memory of a step: about {need.peak / 2 ** 30:.2f} GiB{at_most}, of which "
          f"{need.held / 2 ** 30:.2f} GiB are in use{free_text}")
    if free is not None and most.peak - most.held > free:
        print("warning: a step needs more memory than is free; to use less: a smaller --batch_size, "
              "--accumulate, --amp bf16 or a smaller --crop_size", file=sys.stderr)


def free_memory(device: torch.device) -> int | None:
    """Return the free memory of a device in bytes, or None where the system does not report it.

    That of the CPU is what the machine has left, and at most what the limit of its container leaves.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    known = [free for free in (_machine_free(), _cgroup_free()) if free is not None]
    return min(known, default=None)


def _machine_free() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)


def _cgroup_free() -> int | None:
    """Compute what the memory limit of the cgroup (version 2 or 1) leaves; None without a limit."""
    for folder, limit, usage, cached in _CGROUP_FILES:
        try:
            most, used = ((_CGROUP / folder / name).read_text(encoding="ascii") for name in (limit, usage))
            stat = (_CGROUP / folder / "memory.stat").read_text(encoding="ascii").split()
            reclaimable = int(stat[stat.index(cached) + 1])
            return max(0, int(most) - int(used) + reclaimable)
        except (OSError, ValueError):  # "max": unlimited
            continue
    return None

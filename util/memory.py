"""Compare the memory that a training step needs with the memory that is free."""
from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.utils.data import Dataset, default_collate

from .entry import one_line


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
    at_most = f", at most {most.peak / 2 ** 30:.2f} GiB" if most.peak > need.peak else ""
    free_text = f"; {free / 2 ** 30:.2f} GiB are free" if free else ""
    print(f"memory of a step: about {need.peak / 2 ** 30:.2f} GiB{at_most}, of which "
          f"{need.held / 2 ** 30:.2f} GiB are in use{free_text}")
    if free and most.peak - most.held > free:
        print("warning: a step needs more memory than is free; to use less: a smaller --batch_size, "
              "--accumulate, --amp bf16 or a smaller --crop_size", file=sys.stderr)


def free_memory(device: torch.device) -> int | None:
    """Return the free memory of a device in bytes, or None where the system does not report it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    table = Path("/proc/meminfo")
    if not table.is_file():
        return None
    for line in table.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return None

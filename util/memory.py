"""Compare the memory that a training step needs with the memory that is free."""
from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.utils.data import Dataset, default_collate


def report_memory(model, dataset: Dataset, batch_size: int) -> None:
    """Print the estimated memory of a training step and the free memory; warn if it is too little.

    Args:
        model: its ``memory_needed(batch)`` estimates the bytes of a step.
        dataset: the training set; a batch is formed by repeating its first item.
        batch_size: items of a batch.
    """
    need = model.memory_needed(default_collate([dataset[0]] * batch_size))
    free = free_memory(model.device)
    free_text = f", {free / 2 ** 30:.2f} GiB are free" if free else ""
    print(f"memory of a step: about {need / 2 ** 30:.2f} GiB{free_text}")
    if free and need > free:
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

"""What a training step needs of the memory that is there."""
import sys
from pathlib import Path

import torch
from torch.utils.data import default_collate


def tell_memory(model, dataset, batch_size):
    """Print about how much memory a step needs and how much is free; warn, with the flags that help, if it is too little."""
    need = model.memory_needed(default_collate([dataset[0]] * batch_size))
    free = free_memory(model.device)
    print(f"memory of a step: about {need / 2 ** 30:.2f} GiB" + (f", {free / 2 ** 30:.2f} GiB are free" if free else ""))
    if free and need > free:
        print("warning: that is more than is free; a smaller --batch_size, --accumulate, --amp bf16 or a smaller --crop_size "
              "need less", file=sys.stderr)


def free_memory(device):
    """Bytes that are free on a device; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    table = Path("/proc/meminfo")
    lines = table.read_text(encoding="ascii").splitlines() if table.is_file() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)

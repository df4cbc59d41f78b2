"""Several processes, as torchrun starts them."""

import os

import torch
import torch.distributed as dist


def init_ddp():
    """Join the processes of torchrun, if there are several; the device of this one."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    device = torch.device(f"cuda:{local}" if torch.cuda.is_available() else "cpu")
    if "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group(backend="nccl" if device.type == "cuda" else "gloo")
    return device


def cleanup_ddp():
    """Leave the processes."""
    if dist.is_initialized():
        dist.barrier()  # gloo may abort a process that others have left
        dist.destroy_process_group()

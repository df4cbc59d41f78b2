"""What the processes of one training job share (``torchrun``). In a process that is alone every function is free.

Gradients are averaged once a step instead of wrapping networks in DistributedDataParallel: a step of UGC runs many
slices of one network and several passes of another, which its hooks are not made for.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

_local_only = False


def world_size() -> int:
    """How many processes the job has."""
    return dist.get_world_size() if not _local_only and dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0; 0 writes files and prints."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def local_rank() -> int:
    """The number of this process on its machine, from 0: its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


@contextmanager
def process_group() -> Iterator[None]:
    """Run as one process of the job that ``torchrun`` started; without it, alone."""
    if int(os.environ.get("WORLD_SIZE", 1)) < 2 or "RANK" not in os.environ:
        yield
        return
    # process 0 validates and saves while the others wait; a process that dies is torchrun's to notice
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(hours=2))
    together = True
    try:
        yield
    except (Exception, KeyboardInterrupt):
        together = False
        raise
    finally:
        if together:
            dist.barrier()  # who leaves while another still talks to it takes that one down
        dist.destroy_process_group()


class ProcessLost(RuntimeError):
    """Another process of the job has failed; it tells why itself."""


@contextmanager
def local_only() -> Iterator[None]:
    """Run what one process does by itself, such as a calibration: nothing in it waits for the others."""
    global _local_only
    before, _local_only = _local_only, True
    try:
        yield
    finally:
        _local_only = before


class _Sum(torch.autograd.Function):
    """Sum over the processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, value):
        value = value.contiguous().clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx, gradient):
        return _Sum.apply(gradient)


def all_reduce_mean(value: Tensor) -> Tensor:
    """Mean of a tensor over the processes, differentiable."""
    return value if world_size() == 1 else _Sum.apply(value) / world_size()


def all_gather(value: Tensor) -> Tensor:
    """Tensors (N, ...) of all processes, joined in the order of their numbers; without gradients."""
    if world_size() == 1:
        return value
    found = [torch.empty_like(value) for _ in range(world_size())]
    dist.all_gather(found, value.detach().contiguous())
    return torch.cat(found)


def all_gather_objects(value: object) -> list:
    """Plain data of all processes, in the order of their numbers."""
    if world_size() == 1:
        return [value]
    found = [None] * world_size()
    dist.all_gather_object(found, value)
    return found


def all_reduce_max(number: float) -> float:
    """The greatest of the numbers of all processes."""
    if world_size() == 1:
        return number
    found = torch.tensor(float(number))
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return float(found)


def on_rank_zero(work: Callable[[], object]) -> object:
    """What `work` returns in process 0, which alone runs it, by itself; the others wait. Its error is everyone's.

    Raises:
        ProcessLost: in the others, if it failed in process 0, which raises its own error.
    """
    if world_size() == 1:
        return work()
    error, found = None, None
    if rank() == 0:
        try:
            with local_only():
                found = work()
        except Exception as problem:
            error = problem
    told = [(found, None if error is None else str(error))]
    dist.broadcast_object_list(told, 0)
    if error is not None:
        raise error
    if told[0][1] is not None:
        raise ProcessLost(f"process 0 stopped: {told[0][1]}")
    return told[0][0]


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace the gradients by their means over the processes; one without a gradient counts as zero."""
    if world_size() == 1:
        return
    parameters = [p for p in parameters if p.requires_grad]
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= world_size()
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters])):
        p.grad.copy_(part.view_as(p.grad))


def broadcast_weights(modules: Iterable[torch.nn.Module]) -> None:
    """Give every process the weights and buffers of process 0."""
    if world_size() == 1:
        return
    with torch.no_grad():
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                value = tensor.contiguous()
                dist.broadcast(value, 0)
                tensor.copy_(value)

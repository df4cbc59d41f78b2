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
from torch import Tensor, distributed

_alone = False


def size() -> int:
    """How many processes the job has."""
    return distributed.get_world_size() if not _alone and distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0; 0 writes files and prints."""
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def local_rank() -> int:
    """The number of this process on its machine, from 0: its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


@contextmanager
def joined() -> Iterator[None]:
    """Run as one process of the job that ``torchrun`` started; without it, alone."""
    if int(os.environ.get("WORLD_SIZE", 1)) < 2 or "RANK" not in os.environ:
        yield
        return
    # process 0 validates and saves while the others wait; a process that dies is torchrun's to notice
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(hours=2))
    together = True
    try:
        yield
    except (Exception, KeyboardInterrupt):
        together = False
        raise
    finally:
        if together:
            distributed.barrier()  # who leaves while another still talks to it takes that one down
        distributed.destroy_process_group()


class ProcessLost(RuntimeError):
    """Another process of the job has failed; it tells why itself."""


@contextmanager
def alone() -> Iterator[None]:
    """Run what one process does by itself, such as a calibration: nothing in it waits for the others."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


class _Sum(torch.autograd.Function):
    """Sum over the processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, value):
        value = value.contiguous().clone()
        distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx, gradient):
        return _Sum.apply(gradient)


def mean(value: Tensor) -> Tensor:
    """Mean of a tensor over the processes, differentiable."""
    return value if size() == 1 else _Sum.apply(value) / size()


def gather(value: Tensor) -> Tensor:
    """Tensors (N, ...) of all processes, joined in the order of their numbers; without gradients."""
    if size() == 1:
        return value
    found = [torch.empty_like(value) for _ in range(size())]
    distributed.all_gather(found, value.detach().contiguous())
    return torch.cat(found)


def gather_objects(value: object) -> list:
    """Plain data of all processes, in the order of their numbers."""
    if size() == 1:
        return [value]
    found = [None] * size()
    distributed.all_gather_object(found, value)
    return found


def greatest(number: float) -> float:
    """The greatest of the numbers of all processes."""
    if size() == 1:
        return number
    found = torch.tensor(float(number))
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return float(found)


def first_does(work: Callable[[], object]) -> object:
    """What `work` returns in process 0, which alone runs it, by itself; the others wait. Its error is everyone's.

    Raises:
        ProcessLost: in the others, if it failed in process 0, which raises its own error.
    """
    if size() == 1:
        return work()
    error, found = None, None
    if rank() == 0:
        try:
            with alone():
                found = work()
        except Exception as problem:
            error = problem
    told = [(found, None if error is None else str(error))]
    distributed.broadcast_object_list(told, 0)
    if error is not None:
        raise error
    if told[0][1] is not None:
        raise ProcessLost(f"process 0 stopped: {told[0][1]}")
    return told[0][0]


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace the gradients by their means over the processes; one without a gradient counts as zero."""
    if size() == 1:
        return
    parameters = [p for p in parameters if p.requires_grad]
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([p.grad.flatten() for p in parameters])
    distributed.all_reduce(flat)
    flat /= size()
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters])):
        p.grad.copy_(part.view_as(p.grad))


def share_weights(modules: Iterable[torch.nn.Module]) -> None:
    """Give every process the weights and buffers of process 0."""
    if size() == 1:
        return
    with torch.no_grad():
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                value = tensor.contiguous()
                distributed.broadcast(value, 0)
                tensor.copy_(value)

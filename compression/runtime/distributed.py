"""Communication between the processes of one training job (``torchrun``). With one process every function is
a no-op.

Gradients are averaged once per step, by :mod:`.gradients`.
"""
from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from .text import printable

T = TypeVar("T")
_local_only = False
_HINT = "torchrun sets it, and without torchrun unset WORLD_SIZE, RANK, and LOCAL_RANK"


def world_size() -> int:
    """Return the number of processes of the job."""
    if _local_only or not dist.is_available() or not dist.is_initialized():
        return 1
    return dist.get_world_size()


def rank() -> int:
    """Return the index of this process, from 0; process 0 writes files and prints."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def local_rank() -> int:
    """Return the index of this process on its machine, from 0, which is the index of its GPU."""
    return _from_environment("LOCAL_RANK", 0)


def local_world_size() -> int:
    """Return the number of processes of the job on this machine."""
    return _from_environment("LOCAL_WORLD_SIZE", world_size(), least=1) if world_size() > 1 else 1


def _from_environment(name: str, default: int | None, least: int = 0, most: int = 10 ** 6) -> int:
    """Read one of the numbers that ``torchrun`` sets.

    Raises:
        ValueError: if it is not an integer from `least` to `most`, or is missing and has no default.
    """
    text = os.environ.get(name, default)
    try:
        number = int(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = least - 1
    if not least <= number <= most:
        shown = "nothing" if text is None else printable(repr(text), 40)
        raise ValueError(f"the environment variable {name} must be an integer from {least} to {most}, got "
                         f"{shown}; {_HINT}")
    return number


def _check_address(size: int) -> None:
    """Check that ``MASTER_ADDR`` is the address of a machine; torch tries to reach it for hours.

    Raises:
        ValueError: if it is missing, or no machine of this name is known.
    """
    address = os.environ.get("MASTER_ADDR")
    if address is None:
        raise ValueError(f"WORLD_SIZE is {size}, but the environment variable MASTER_ADDR is not set; "
                         f"{_HINT}")
    try:
        socket.getaddrinfo(address or "?", None)
    except (OSError, UnicodeError):
        raise ValueError("the environment variable MASTER_ADDR must be the name or the address of a machine, "
                         f"got {printable(repr(address), 60)}; {_HINT}") from None


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group that ``torchrun`` describes in the environment; without ``torchrun`` do
    nothing."""
    size = _from_environment("WORLD_SIZE", 1, least=1)
    if size < 2 or "RANK" not in os.environ:
        yield
        return
    _from_environment("RANK", 0, most=size - 1)
    _from_environment("LOCAL_RANK", 0, most=size - 1)
    _from_environment("MASTER_PORT", None, most=65535)
    _check_address(size)
    # long timeout: the others wait while process 0 validates and saves; torchrun detects dead processes
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timedelta(hours=2))
    failed = False
    try:
        yield
    except (Exception, KeyboardInterrupt):
        failed = True
        raise
    finally:
        if not failed:
            dist.barrier()  # a process that leaves early breaks the communication of the others
        dist.destroy_process_group()


class ProcessLost(RuntimeError):
    """Another process of the job has failed; it reports the reason."""


@contextmanager
def local_only() -> Iterator[None]:
    """Run work of a single process, such as a calibration, without communication: the world size is 1
    inside."""
    global _local_only
    previous = _local_only
    _local_only = True
    try:
        yield
    finally:
        _local_only = previous


class _AllReduceSum(torch.autograd.Function):
    """Sum over the processes; the gradient is the sum of their gradients.

    The function of the same effect in torch.distributed.nn.functional is deprecated and cannot be compiled.
    """

    @staticmethod
    def forward(ctx, value):
        value = value.contiguous().clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx, gradient):
        return _AllReduceSum.apply(gradient)


def all_reduce_mean(value: Tensor) -> Tensor:
    """Compute the mean of a tensor over the processes, differentiable."""
    return value if world_size() == 1 else _AllReduceSum.apply(value) / world_size()


def all_gather(value: Tensor) -> Tensor:
    """Concatenate the tensors (N, ...) of all processes in rank order, without gradients."""
    if world_size() == 1:
        return value
    values = [torch.empty_like(value) for _ in range(world_size())]
    dist.all_gather(values, value.detach().contiguous())
    return torch.cat(values)


def all_gather_objects(value: T) -> list[T]:
    """Collect plain data of all processes in rank order."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def check_equal(values: Mapping[str, object], what: str) -> None:
    """Check that all processes have the same values.

    Args:
        values: name -> plain data.
        what: what the values are, for the message.

    Raises:
        ValueError: in process 0, if any differs; the message names all of them.
        ProcessLost: in the other processes.
    """
    everywhere = all_gather_objects({name: str(value) for name, value in values.items()})
    differences = []
    for name in sorted(everywhere[0].keys() | set().union(*everywhere[1:])):
        first = everywhere[0].get(name)
        other = next((i for i, theirs in enumerate(everywhere) if theirs.get(name) != first), None)
        if other is not None:
            differences.append(f"{name} is {first} in process 0 and {everywhere[other].get(name)} in process "
                               f"{other}")
    if not differences:
        return
    message = f"the processes of the job differ in {what}: {'; '.join(differences)}"
    raise ValueError(message) if rank() == 0 else ProcessLost(message)


def all_reduce_max(number: float) -> float:
    """Compute the maximum of a number over the processes."""
    if world_size() == 1:
        return number
    maximum = torch.tensor(float(number))
    dist.all_reduce(maximum, dist.ReduceOp.MAX)
    return float(maximum)


def on_rank_zero(work: Callable[[], T]) -> T:
    """Call `work` in process 0 without communication, and return its result in all processes.

    Raises:
        ProcessLost: in the other processes, if `work` failed in process 0, which raises the original error.
    """
    if world_size() == 1:
        return work()
    result: Any = None
    error: Exception | None = None
    if rank() == 0:
        try:
            with local_only():
                result = work()
        except Exception as raised:
            error = raised
    message = [(result, None if error is None else str(error))]
    dist.broadcast_object_list(message, 0)
    if error is not None:
        raise error
    result, problem = message[0]
    if problem is not None:
        raise ProcessLost(f"process 0 stopped: {problem}")
    return result


def broadcast_weights(modules: Iterable[torch.nn.Module]) -> None:
    """Copy the weights and buffers of process 0 to every process."""
    if world_size() == 1:
        return
    with torch.no_grad():
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                value = tensor.contiguous()
                dist.broadcast(value, 0)
                tensor.copy_(value)

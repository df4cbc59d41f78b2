"""Score the candidates of a search in several processes of this machine."""
from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from compression import Arch
from compression.runtime import distributed

from .cores import usable_cores
from .memory import free_memory
from .signals import outlive_the_group

Score = Callable[[Arch, int | None], float]
_LARGEST_PIXELS = 256 * 256  # of an image; above, the threads of one process are as fast
_BYTES = 2 ** 29  # of memory that a process needs beside that of its images
_BYTES_PER_PIXEL = 4 * 2 ** 10
_CHECK_SECONDS = 1.0  # between two checks whether the main process is still there


def can_fork() -> bool:
    """Return whether processes can be started that share the memory of this one."""
    return sys.platform == "linux" and "fork" in multiprocessing.get_all_start_methods()


def choose_processes(requested: int | None, device: torch.device, size: tuple[int, int]) -> int:
    """Choose the number of processes that score candidates.

    Args:
        requested: the value of ``--processes``; None chooses one for each core if images are small, as far as
            the free memory suffices.
        device: device of the search.
        size: (height, width) of an image in pixels.

    Raises:
        ValueError: if several processes are requested that cannot be started here.
    """
    reason = None
    if device.type != "cpu":
        reason = f"the search runs on {device}, which one process keeps busy"
    elif distributed.world_size() > 1:
        reason = f"torchrun has started {distributed.world_size()} processes already"
    elif not can_fork():
        reason = "this system cannot start processes that share memory; torchrun can start several"
    if requested and requested > 1 and reason:
        raise ValueError(f"--processes {requested}: {reason}; use --processes 1, or drop the flag")
    if requested or reason:
        return requested or 1
    pixels = size[0] * size[1]
    if pixels > _LARGEST_PIXELS:
        return 1
    free = free_memory(device)
    affordable = usable_cores() if free is None else free // 2 // (_BYTES + _BYTES_PER_PIXEL * pixels)
    return max(1, min(usable_cores(), affordable))


class ScoringProcesses:
    """Processes with one thread each, which share the memory of this one and score candidates.

    A score does not depend on the process that computes it.

    Args:
        score: (architecture, index of the subset of images, or None for all) -> score.
        count: number of processes.
    """

    def __init__(self, score: Score, count: int):
        context: Any = multiprocessing.get_context("fork")
        self._connections: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(score, theirs, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)

    def scores(self, archs: Sequence[Arch], subset: int | None) -> Iterator[tuple[Arch, float]]:
        """Score architectures; yields each as soon as its score is known."""
        waiting = list(archs)[::-1]
        assigned: dict[Connection, Arch] = {}
        idle = list(self._connections)
        try:
            while waiting or assigned:
                while idle and waiting:
                    connection = idle.pop()
                    assigned[connection] = waiting.pop()
                    connection.send((assigned[connection], subset))
                for ready in wait(list(assigned)):
                    assert isinstance(ready, Connection)
                    result = ready.recv()
                    if isinstance(result, Exception):
                        raise result
                    idle.append(ready)
                    yield assigned.pop(ready), result
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise ValueError("a process that scores candidates has ended, probably for lack of memory; the "
                             "search is saved: continue it with --continue_train and fewer "
                             "--processes") from None

    def close(self) -> None:
        """End the processes, also during a score."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()


def _serve(score: Score, connection: Connection, parent: int) -> None:
    """Score the architectures that the main process sends, until it ends."""
    outlive_the_group()
    torch.set_num_threads(1)
    while os.getppid() == parent:
        if not connection.poll(_CHECK_SECONDS):
            continue
        arch, subset = connection.recv()
        try:
            result: float | Exception = score(arch, subset)
        except Exception as error:
            result = error
        connection.send(result)

"""The peak memory of training steps, computed by running them without data.

The steps run on a copy of their state whose tensors have shapes, types, and devices, but no values (PyTorch's
FakeTensor). Autograd, autocast, and the optimizers do what they do in training, so that every tensor is
allocated and freed in the same order; only the kernels do not run. :mod:`.kernel_memory` adds what kernels
allocate themselves.
"""
from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from . import distributed
from .kernel_memory import kernel_bytes

_aten = torch.ops.aten


@dataclass(frozen=True)
class StepMemory:
    """Memory of training steps in bytes.

    Attributes:
        held: of the state before the first step.
        peak: the highest memory during a step that follows others.
    """

    held: int
    peak: int


class AllocationTrace(TorchDispatchMode):
    """Records the allocations of all operations in its context, and the bytes that are allocated at each.

    Attributes:
        live: bytes that are allocated now.
        levels: the bytes that are allocated after every allocation, and during every operation.
    """

    def __init__(self, device: torch.device):
        super().__init__()
        self.live = 0
        self.levels: list[int] = []
        self._device = device.type
        self._storages: dict[int, tuple[Any, int, int]] = {}  # address -> reference, position, bytes

    def record(self, tensor: Tensor) -> None:
        """Record the storage of a tensor, unless it is known or on another device."""
        storage = tensor.untyped_storage()
        address = storage._cdata
        if tensor.device.type != self._device or address in self._storages:
            return
        size = storage.nbytes()

        def free(_: object) -> None:
            self.live -= size
            del self._storages[address]

        self._storages[address] = (weakref.ref(storage, free), len(self.levels), size)
        self.live += size
        self.levels.append(self.live)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.prim.device.default:  # more than half of all calls
            return args[0].fake_device
        output = _without_data(func, args)
        if output is None:
            output = func(*args, **(kwargs or {}))
        for value in tree_leaves(output):
            if isinstance(value, Tensor):
                self.record(value)
        if self._device == "cpu":
            self.levels.append(self.live + kernel_bytes(func, args))
        return output

    def peak(self) -> int:
        """Compute the peak of a repetition of what was traced.

        What is still allocated at the end, such as moments of an optimizer or images to show, exists in a
        repetition from its start until it is replaced.
        """
        remaining = [0] * len(self.levels)
        for _, position, size in self._storages.values():
            remaining[position] += size
        peak = later = 0  # later: bytes of what is allocated later, but remains
        for level, size in zip(reversed(self.levels), reversed(remaining), strict=True):
            peak = max(peak, level + later)
            later += size
        return peak


def _without_data(func: Any, args: tuple) -> Any:
    """Return a result of an operation whose value or shape depends on data; None for all others.

    A number is 1 and a condition false. A selection by a mask selects everything.
    """
    if func is _aten._local_scalar_dense.default:
        dtype = args[0].dtype
        return False if dtype is torch.bool else 1.0 if dtype.is_floating_point else 1
    if func is _aten.index.Tensor and any(i is not None and i.dtype is torch.bool for i in args[1]):
        return args[0].clone()
    return None


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Hide warnings about addresses, which copies of tensors without data lack."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def step_memory(state: Any, steps: Callable[[Any], object], device: torch.device) -> StepMemory:
    """Compute the peak memory of training steps, without running them.

    Neither the state nor a random generator changes.

    Args:
        state: everything that the steps use, for example a model and a batch; it is copied without its data.
        steps: takes the copy and runs the steps. The copy may be changed.
        device: the device whose memory is counted.
    """
    trace = AllocationTrace(device)
    memo: dict[int, Any] = {}
    with FakeCopyMode(FakeTensorMode(allow_non_fake_inputs=True)) as copying, _without_warnings():
        twin = copy.deepcopy(state, memo)
    # a copy does not share memory, as the weights of a spectral norm do before their first pass
    originals = {id(value): value for value in memo[id(memo)] if isinstance(value, Tensor)}
    shared = set()
    for key, value in memo.items():
        if isinstance(value, Tensor):
            storage = originals[key].untyped_storage()._cdata
            if storage not in shared:
                trace.record(value)
            shared.add(storage)
    del memo, value, originals
    held = trace.live
    with distributed.local_only(), copying.fake_mode, trace, torch.enable_grad(), _without_warnings():
        steps(twin)
    return StepMemory(held, trace.peak())

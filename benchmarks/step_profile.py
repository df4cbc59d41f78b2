"""What benchmarks/train_step.py measures: the peak of the convolutions, and where a step spends its time."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

# (input channels, output channels, side of the input, kernel, stride) of layers that take most of the time in
# the published networks: residual blocks, levels of U-Nets and discriminators, VGG
LAYERS = ((256, 256, 64, 3, 1), (128, 128, 128, 3, 1), (64, 128, 128, 4, 2), (128, 256, 64, 4, 2),
          (256, 512, 33, 4, 1), (512, 512, 32, 3, 1))
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
# methods that run a part of a network without calling the network
METHODS = ("forward", "discriminate", "trunk", "head", "compare", "activations")


@dataclass
class Seconds:
    """Wall-clock seconds, and those of the CPU, which are larger with several threads."""

    wall: float
    cpu: float


@contextmanager
def stopwatch(device: torch.device) -> Iterator[Seconds]:
    """Measure the seconds of a block."""
    seconds = Seconds(0.0, 0.0)
    synchronize(device)
    wall, cpu = time.perf_counter(), time.process_time()
    yield seconds
    synchronize(device)
    seconds.wall, seconds.cpu = time.perf_counter() - wall, time.process_time() - cpu


def synchronize(device: torch.device) -> None:
    """Wait for the kernels of a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def convolution_peaks(device: torch.device, batch_size: int, dtypes: Iterable[str],
                      repetitions: int = 5) -> dict[str, Seconds]:
    """Measure the throughput of convolutions, forward and backward: the best of the layers of LAYERS.

    Args:
        device: where they run.
        batch_size: images of a batch.
        dtypes: names in DTYPES. A processor without 16-bit arithmetic takes minutes for bf16.
        repetitions: of each measurement, whose best counts.

    Returns:
        dtype/layout -> multiply-accumulates by second of wall-clock time, and by second of the CPU.
    """
    peaks = {}
    for dtype_name in dtypes:
        dtype = DTYPES[dtype_name]
        for layout_name, layout in LAYOUTS.items():
            rates = [_layer_rate(device, dtype, layout, batch_size, repetitions, *layer) for layer in LAYERS]
            best = max(rates, key=lambda rate: rate.wall)
            peaks[f"{dtype_name}/{layout_name}"] = Seconds(best.wall, max(rate.cpu for rate in rates))
    return peaks


def _layer_rate(device, dtype, layout, batch_size, repetitions, inputs, outputs, side, kernel, stride):
    """Measure multiply-accumulates by second of one layer, forward and both gradients."""
    settings = {"device": device, "dtype": dtype}
    x = torch.randn(batch_size, inputs, side, side, **settings).to(memory_format=layout).requires_grad_()
    weight = torch.randn(outputs, inputs, kernel, kernel, **settings).to(memory_format=layout)
    weight.requires_grad_()
    y = F.conv2d(x, weight, stride=stride, padding=1)
    gradient = torch.ones_like(y)
    macs = 3 * y.numel() * inputs * kernel ** 2
    measured = []
    for _ in range(repetitions):
        with stopwatch(device) as seconds:
            torch.autograd.grad(F.conv2d(x, weight, stride=stride, padding=1), (x, weight), gradient)
        measured.append(seconds)
    return Seconds(macs / min(s.wall for s in measured), macs / max(1e-9, min(s.cpu for s in measured)))


def allocated_peak(device: torch.device, work: Callable[[], object]) -> int:
    """Run a step and return the peak of the bytes that PyTorch's allocator hands out meanwhile.

    On a GPU this includes what was allocated before; on a CPU it does not. A step leaves as much memory as it
    finds. So what seems to remain on a CPU replaces memory whose release is not recorded, as it was allocated
    before.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device)
    _, remaining, peak = allocated_bytes(work)
    return peak - remaining


def allocated_bytes(work: Callable[[], Any]) -> tuple[Any, int, int]:
    """Run `work` on the CPU; returns its result, the bytes that it leaves allocated, and their peak."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = work()
    changes = [(event.start_ns(), event.nbytes()) for event in profiler.profiler.kineto_results.events()
               if event.name() == "[memory]"]
    live = peak = 0
    for _, size in sorted(changes, key=lambda change: change[0]):
        live += size
        peak = max(peak, live)
    return result, live, peak


class StepProfile(TorchDispatchMode):
    """Measures the seconds and multiply-accumulates of every operation of a step, by network and direction.

    A network is active while one of its methods runs, and while autograd runs backward through what this
    method has recorded. Everything else belongs to the losses, or to the optimizer.

    Args:
        device: of the networks.

    Attributes:
        rows: (network, direction, kind of operation) -> [seconds, multiply-accumulates].
    """

    def __init__(self, device: torch.device):
        super().__init__()
        self.device = device
        self.rows: dict[tuple[str, str, str], list[float]] = {}
        self._active: list[str] = []
        self._backward = "losses"

    @contextmanager
    def watching(self, networks: dict[str, nn.Module]) -> Iterator[StepProfile]:
        """Profile the steps of a block.

        Args:
            networks: by the names in the rows.
        """
        with ExitStack() as stack:
            for name, network in networks.items():
                for method in METHODS:
                    if hasattr(network, method):
                        stack.enter_context(self._wrapped(network, method, name))
            before = register_optimizer_step_pre_hook(lambda *_: self._active.append("optimizer"))
            after = register_optimizer_step_post_hook(lambda *_: self._active.pop())
            stack.callback(before.remove)
            stack.callback(after.remove)
            stack.enter_context(self)
            yield self

    @contextmanager
    def _wrapped(self, network: nn.Module, method: str, name: str) -> Iterator[None]:
        original = getattr(network, method)

        def call(*args, **kwargs):
            self._active.append(name)
            try:
                output = original(*args, **kwargs)
            finally:
                self._active.pop()
            self._mark(output, name, args)
            return output

        setattr(network, method, call)
        try:
            yield
        finally:
            delattr(network, method)

    def _mark(self, output: object, name: str, inputs: object) -> None:
        """Let the nodes of autograd's graph between inputs and output name the network that runs them."""
        def enter(_: object) -> None:
            self._backward = name

        def leave(*_: object) -> None:
            self._backward = "losses"

        visited = {value.grad_fn for value in tree_leaves(inputs) if isinstance(value, torch.Tensor)}
        nodes = [value.grad_fn for value in tree_leaves(output) if isinstance(value, torch.Tensor)]
        while nodes:
            node = nodes.pop()
            if node is None or node in visited:
                continue
            visited.add(node)
            if "network" not in node.metadata:  # of a network that this one runs
                node.metadata["network"] = name
                node.register_prehook(enter)
                node.register_hook(leave)
            nodes += [following for following, _ in node.next_functions]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        synchronize(self.device)
        begin = time.perf_counter()
        output = func(*args, **kwargs)
        synchronize(self.device)
        seconds = time.perf_counter() - begin
        packet = func._overloadpacket
        count = flop_registry.get(packet)
        macs = count(*args, **kwargs, out_val=output) / 2 if count else 0
        is_backward = torch._C._current_graph_task_id() != -1
        network = self._active[-1] if self._active else self._backward if is_backward else "losses"
        kind = "convolutions" if macs else packet.__name__
        row = self.rows.setdefault((network, "backward" if is_backward else "forward", kind), [0.0, 0.0])
        row[0] += seconds
        row[1] += macs
        return output

    def summary(self, images: int) -> dict[str, dict]:
        """Return network -> direction -> seconds and GMACs for one image, and its slowest other operations.

        Args:
            images: images of the step.
        """
        result: dict[str, dict] = {}
        for (network, direction, kind), (seconds, macs) in sorted(self.rows.items(),
                                                                  key=lambda row: -row[1][0]):
            part = result.setdefault(network, {}).setdefault(
                direction, {"seconds": 0.0, "convolutions": 0.0, "gmacs": 0.0, "others": {}})
            part["seconds"] += seconds / images
            part["gmacs"] += macs / images / 1e9
            if kind == "convolutions":
                part["convolutions"] += seconds / images
            elif len(part["others"]) < 5:
                part["others"][kind] = round(seconds / images, 5)
        for parts in result.values():
            for part in parts.values():
                part.update({key: round(value, 5) for key, value in part.items() if key != "others"})
        return result

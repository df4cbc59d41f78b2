"""Measured latencies of sub-networks in a runtime, in a file that later searches on the same device use.

Other work on a machine, or its clock rate, can change times. Every measurement therefore is between two of a
small reference network. If one of them is slower than usual, other work has disturbed the measurement, and it
is repeated. A slowdown that lasts is corrected by the ratio of the lower one to the usual time of this
network.
"""
from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checkpoints.files import MAX_STATE_BYTES, read_json, write_json
from ..deploy.packages import require
from ..deploy.rewrites import GAINS, rewrite
from ..deploy.runtimes import open_network
from ..elastic.arch import Arch
from ..elastic.generator import ElasticGenerator
from ..elastic.registry import family_by_name
from ..runtime.timing import median_ms
from .macs import CostModel
from .space import SearchSpace

GENERAL = 48  # measured sub-networks of all sizes
_MAX_SHARE = 0.25  # of the MACs of the largest network; a student is smaller
_REFERENCE_QUANTILE = 0.2  # of the times of the reference network: that of an undisturbed machine
_SECONDS = 0.15  # of a measurement
_REFERENCE_SECONDS = 0.05
_ATTEMPTS = 4  # of a measurement that other work disturbs
_UNDISTURBED = 1.1  # times the usual time of the reference network, at most


@dataclass(frozen=True)
class LatencyTarget:
    """Where a latency is measured.

    Attributes:
        runtime: one of :data:`compression.deploy.runtimes.RUNTIMES`.
        threads: number of CPU threads.
        device: that of PyTorch; the other runtimes use the CPU.
    """

    runtime: str
    threads: int
    device: torch.device = torch.device("cpu")

    def describe(self) -> dict[str, Any]:
        """Return what a latency depends on besides the network: runtime, its version, device, threads."""
        version = require(self.runtime).__version__
        on_gpu = self.runtime == "torch" and self.device.type == "cuda"
        device = torch.cuda.get_device_name(self.device) if on_gpu else cpu_name()
        return {"runtime": self.runtime, "version": str(version), "device": device, "threads": self.threads}

    @torch.no_grad()
    def open(self, net: ElasticGenerator, size: tuple[int, int]) -> Callable[[], object]:
        """Open a network as export.py does, with the rewrites of the runtime, and return a function that
        translates one image of `size` (height, width)."""
        net = rewrite(net.eval(), GAINS[self.runtime])
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1, net.config["input_nc"], *size, generator=generator)
        if self.runtime == "torch" and self.device.type == "cuda":
            net, x = net.to(self.device), x.to(self.device)

            def run() -> None:
                with torch.inference_mode():
                    net(x)
                torch.cuda.synchronize(self.device)
            return run
        session = open_network(net.cpu(), x, self.runtime, self.threads)
        array = x.numpy()
        return lambda: session(array)

    def measure(self, net: ElasticGenerator, size: tuple[int, int], seconds: float = 1.0) -> float:
        """Measure the latency of a network: the median time for one image, in milliseconds."""
        return median_ms(self.open(net, size), seconds)


def cpu_name() -> str:
    """Return the model of the processor and its number of cores."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {os.cpu_count()} cores"


def usual_time(references: Sequence[float] | np.ndarray) -> float:
    """Estimate the time of the reference network on an undisturbed machine from all its measurements."""
    return float(np.quantile(references, _REFERENCE_QUANTILE))


class LatencyTable:
    """The latencies of sub-networks of a search space that were measured on a device.

    Args:
        space: the search space.
        cost_model: gives the size of the image and the constructor arguments of the networks.
        target: where the latency is measured.
        path: the file, None to keep nothing.
    """

    def __init__(self, space: SearchSpace, cost_model: CostModel, target: LatencyTarget,
                 path: Path | None = None):
        self.space = space
        self.cost_model = cost_model
        self.target = target
        self.path = path
        self.conditions = {**target.describe(), "size": list(cost_model.size),
                           "network": cost_model.network(), "largest": space.largest.to_json()}
        self.rows: dict[Arch, tuple[float, float]] = {}  # milliseconds of it and of the reference network
        self._reference: Callable[[], object] | None = None

    def load(self) -> list[str]:
        """Read the file, if there is one of these conditions.

        Returns:
            The names of the conditions in which the file differs; it is then not used.

        Raises:
            ValueError: if the file is damaged.
        """
        if self.path is None or not self.path.is_file():
            return []
        saved = read_json(self.path, MAX_STATE_BYTES)
        conditions = saved.get("conditions")
        if not isinstance(conditions, dict):
            raise ValueError(f"{self.path}: is not a table of latencies; delete it to measure again")
        differing = [name for name, value in self.conditions.items() if conditions.get(name) != value]
        if differing:
            return [f"{name} {conditions.get(name)!r:.80}, now {self.conditions[name]!r:.80}"
                    for name in differing]
        try:
            rows = {Arch.from_json(arch): (float(ms), float(reference))
                    for arch, ms, reference in saved["rows"]}
        except (TypeError, ValueError, LookupError) as error:
            raise ValueError(f"{self.path}: damaged ({error}); delete it to measure again") from None
        if not all(0 < value < np.inf for row in rows.values() for value in row):
            raise ValueError(f"{self.path}: damaged (a time is not positive); delete it to measure again")
        self.rows = rows
        return []

    def general(self, count: int | None = None) -> list[Arch]:
        """Choose sub-networks of all sizes: the smallest network, and `count` random ones (default: GENERAL).

        Those above a quarter of the MACs of the largest network are left out, where there are enough others.
        """
        count = GENERAL if count is None else count
        rng = np.random.default_rng(0)
        limit = _MAX_SHARE * self.cost_model.macs([self.space.largest])[0]
        chosen = {self.space.smallest: None}
        for attempt in range(20 * count):
            arch = self.space.draw(rng, rng.uniform(0.0, 14.0))
            if len(chosen) <= count and (attempt >= 10 * count or self.cost_model.macs([arch])[0] <= limit):
                chosen[arch] = None
        return list(chosen)

    def measure(self, archs: Sequence[Arch], progress: Callable[[], None] = lambda: None) -> None:
        """Measure those of the architectures that are not in the table yet; each is saved at once.

        Args:
            archs: the architectures.
            progress: is called after each of them.
        """
        for arch in archs:
            if arch not in self.rows:
                self.rows[arch] = self._measure(arch)
                self.save()
            progress()

    def _measure(self, arch: Arch) -> tuple[float, float]:
        if self._reference is None:
            self._reference = self._open(self.space.smallest)
        run = self._open(arch)
        references = [reference for _, reference in self.rows.values()]
        attempts = []  # (the slower measurement of the reference network, the row)
        for _ in range(_ATTEMPTS):
            before = median_ms(self._reference, _REFERENCE_SECONDS)
            milliseconds = median_ms(run, _SECONDS)
            after = median_ms(self._reference, _REFERENCE_SECONDS)
            attempts.append((max(before, after), (milliseconds, min(before, after))))
            if max(before, after) <= _UNDISTURBED * usual_time([*references, before, after]):
                break
        return min(attempts)[1]

    def _open(self, arch: Arch) -> Callable[[], object]:
        generator = family_by_name(arch.family).generator
        state = torch.random.get_rng_state()
        try:
            net = generator(arch, **self.cost_model.network())
        finally:
            torch.random.set_rng_state(state)
        return self.target.open(net, self.cost_model.size)

    def save(self) -> None:
        """Write the file."""
        if self.path is not None:
            rows = [[arch.to_json(), *times] for arch, times in self.rows.items()]
            write_json(self.path, {"conditions": self.conditions, "rows": rows})

    @property
    def archs(self) -> list[Arch]:
        """The measured architectures."""
        return list(self.rows)

    @property
    def milliseconds(self) -> np.ndarray:
        """The latencies of `archs`, corrected by the reference network."""
        times, references = np.array(list(self.rows.values())).T
        return times * usual_time(references) / references

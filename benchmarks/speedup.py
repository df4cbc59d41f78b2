"""Compare the latency of students with that of their original in every runtime; prints JSON.

    python benchmarks/speedup.py checkpoints/mine_supernet/search/student.json --threads 1

Each file is an architecture, such as a result of the search. The networks have random weights and run in
fp32, with the rewrites of the runtime and without rewrites. Their calls are interleaved, so that
changes of the clock rate affect all of them; every time is a median. The ratio is the speed-up divided by the
reduction of MACs.
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression import Arch, CostModel
from compression.deploy.rewrites import GAINS, rewrite
from compression.deploy.runtimes import RUNTIMES, Session, open_network
from compression.elastic.families import full_arch
from compression.elastic.registry import FAMILIES
from compression.runtime.numbers import SIDE, integer
from util.entry import run_main

_CALLS = 6  # of a student in each round


def open_all(archs: dict[str, Arch], options: argparse.Namespace,
             cost_model: CostModel) -> dict[tuple[str, str, str], Session]:
    """Open the networks in every runtime, with and without its rewrites."""
    sessions = {}
    x = torch.zeros(1, cost_model.input_nc, *cost_model.size)
    for name, arch in archs.items():
        net = FAMILIES[arch.family].generator(arch, **cost_model.network()).eval()
        for runtime in options.runtimes:
            for label, passes in (("rewritten", GAINS[runtime]), ("as trained", ())):
                session = open_network(rewrite(net, passes), x, runtime, options.threads)
                sessions[name, runtime, label] = session
    return sessions


def measure(sessions: dict[tuple[str, str, str], Session], rounds: int, cost_model: CostModel) -> dict:
    """Measure all sessions in turn; median milliseconds of a call."""
    x = torch.randn(1, cost_model.input_nc, *cost_model.size).numpy()
    times: dict[tuple[str, str, str], list[float]] = {key: [] for key in sessions}
    for session in sessions.values():
        session(x)
    for _ in range(rounds):
        for key, session in sessions.items():
            for _ in range(1 if key[0] == "original" else _CALLS):
                start = time.perf_counter()
                session(x)
                times[key].append(1000 * (time.perf_counter() - start))
    return {key: statistics.median(values) for key, values in times.items()}


def main() -> None:
    """Parse the arguments and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="JSON of architectures of one family")
    parser.add_argument("--threads", type=integer(1, 1024), default=1, help="number of CPU threads")
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=list(RUNTIMES))
    parser.add_argument("--rounds", type=integer(1), default=8, help="of calls of all networks")
    parser.add_argument("--size", type=SIDE, default=256, help="height and width of the image in pixels")
    parser.add_argument("--norm", default="batch", help="norm of the generators")
    options = parser.parse_args()
    archs = {path.stem: Arch.load(path) for path in options.files}
    family = FAMILIES[next(iter(archs.values())).family]
    cost_model = CostModel((options.size,) * 2, family.input_nc, 3, options.norm)
    archs["original"] = full_arch(next(iter(family.full)), family.reference_ngf)
    milliseconds = measure(open_all(archs, options, cost_model), options.rounds, cost_model)
    macs = {name: cost_model.cost(arch)["macs"] for name, arch in archs.items()}
    rows = []
    for (name, runtime, label), value in milliseconds.items():
        speedup = milliseconds["original", runtime, label] / value
        reduction = macs["original"] / macs[name]
        rows.append({"network": name, "runtime": runtime, "graph": label, "ms": round(value, 2),
                     "macs": macs[name], "macs_reduction": round(reduction, 2), "speedup": round(speedup, 2),
                     "ratio": round(speedup / reduction, 2)})
    print(json.dumps({"threads": options.threads, "rows": rows}, indent=2))


if __name__ == "__main__":
    run_main(main)

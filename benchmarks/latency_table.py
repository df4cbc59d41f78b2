"""Compare predicted latencies with measured ones, for random sub-networks of each family; prints JSON.

    python benchmarks/latency_table.py --runtime onnxruntime --threads 1 --families resnet unet

For each family, a table is measured as search.py --latency_ms does. Then other sub-networks are measured, and
the relative errors of their predictions are reported.
"""
from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression import CostModel, SearchSpace
from compression.deploy.runtimes import RUNTIMES
from compression.elastic.families import full_arch
from compression.elastic.registry import FAMILIES
from compression.runtime.numbers import SIDE, integer
from compression.search.latency_model import LatencyModel
from compression.search.latency_table import GENERAL, LatencyTable, LatencyTarget
from util.entry import run_main


def measure_family(name: str, options: argparse.Namespace) -> dict:
    """Measure a table and other sub-networks of a family, and compare them with the predictions."""
    family = FAMILIES[name]
    netG = next(iter(family.full))
    space = SearchSpace.of(full_arch(netG, options.ngf))
    size = (options.size, family.size[1] * options.size // family.size[0])
    norm = options.norm or family.norm
    cost_model = CostModel(size, family.input_nc, 3, norm)
    target = LatencyTarget(options.runtime, options.threads)
    path = Path(options.folder) / f"latency_{name}_{options.runtime}_{options.threads}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = LatencyTable(space, cost_model, target, path)
    table.load()
    start = time.perf_counter()
    general = table.general(options.table)
    others = [arch for arch in table.general(options.table + options.architectures) if arch not in general]
    table.measure(general)
    seconds = time.perf_counter() - start
    table.measure(others)
    measured = dict(zip(table.archs, table.milliseconds, strict=True))
    model = LatencyModel(cost_model, general, np.array([measured[arch] for arch in general]))
    truth = np.array([measured[arch] for arch in others])
    errors = np.abs(model(others) / truth - 1)
    return {"netG": netG, "norm": norm, "size": list(size), "table": len(general),
            "table_seconds": round(seconds, 1), "architectures": len(others),
            "fastest_ms": round(float(truth.min()), 2), "slowest_ms": round(float(truth.max()), 2),
            "median_error": round(float(np.median(errors)), 4),
            "error_90": round(float(np.quantile(errors, 0.9)), 4),
            "cross_validated_error": round(model.median_error, 4)}


def main() -> None:
    """Parse the arguments and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runtime", choices=RUNTIMES, default="onnxruntime")
    parser.add_argument("--threads", type=integer(1, 1024), default=1, help="number of CPU threads")
    parser.add_argument("--families", nargs="+", choices=tuple(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--architectures", type=integer(1), default=30, help="of each family, to compare")
    parser.add_argument("--table", type=integer(2), default=GENERAL, help="architectures of the table")
    parser.add_argument("--size", type=SIDE, default=256, help="height of the image in pixels")
    parser.add_argument("--ngf", type=integer(1, 65536), default=64, help="base width of the largest network")
    parser.add_argument("--norm", help="norm of the generators (default: that of the family)")
    parser.add_argument("--folder", default="latency_tables", help="where the tables are kept")
    options = parser.parse_args()
    target = LatencyTarget(options.runtime, options.threads).describe()
    families = {name: measure_family(name, options) for name in options.families}
    print(json.dumps({**target, "families": families}, indent=2))


if __name__ == "__main__":
    run_main(main)

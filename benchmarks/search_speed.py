"""Measure the speed of a search, and the rank correlation of successive halving; prints JSON.

    python benchmarks/search_speed.py --netG unet_128 --norm batch --size 128 --images 100
    python benchmarks/search_speed.py --supernet checkpoints/mine_supernet --images 100

Random sub-networks within the budget are scored on all images and by halving. With --supernet, weights and
images are those of a run; otherwise the network is untrained and the images are noise, which suffices for the
speed but not for the correlation.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression import Arch, CostModel, SearchSpace, build_generator, parse_macs
from compression.elastic.extraction import extract
from compression.elastic.families import generator_names
from compression.runtime.images import pad
from compression.runtime.numbers import SIDE, integer, number
from compression.search.halving import ANCHORS, SUBSETS, Halving, best_subset, default_images
from compression.search.scoring import AGREEMENT, Scorer
from models import create_model
from options.search_options import SearchOptions
from util.cores import usable_cores
from util.entry import batched, run_main
from util.scoring_processes import ScoringProcesses
from util.search_images import SearchImages

CALIBRATION_BATCH = 16


def random_scorer(options: argparse.Namespace) -> tuple[Scorer, tuple[int, int]]:
    """Build the scorer of an untrained supernet on noise; returns it and the (height, width) of an image."""
    torch.manual_seed(options.seed)
    net = build_generator(options.netG, ngf=options.ngf, norm=options.norm).eval()
    images = torch.rand(options.images, 3, options.size, options.size) * 2 - 1
    inputs = list(images.split(max(1, 2 ** 16 // options.size ** 2)))
    calibration = list(pad(net, images[:32]).split(CALIBRATION_BATCH)) if "batch" in options.norm else []
    return Scorer(net, [], calibration, AGREEMENT, nullcontext, inputs=inputs), (options.size, options.size)


def scorer_of_run(options: argparse.Namespace) -> tuple[Scorer, tuple[int, int]]:
    """Build the scorer of a trained supernet as search.py does."""
    folder = Path(options.supernet)
    flags = ["--name", folder.name, "--checkpoints_dir", str(folder.parent), "--search_images",
             str(options.images), "--criterion", options.criterion, *options.flags.split()]
    with redirect_stdout(sys.stderr):
        opt = SearchOptions().parse(flags)
        model = create_model(opt)
        model.setup(opt)
    images = SearchImages(opt, model)
    calibration = images.calibration(model.netG)
    scorer = Scorer(model.netG, images.pairs, calibration, opt.criterion, model.autocast,
                    inputs=images.inputs)
    return scorer, images.size


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return (elapsed seconds, CPU seconds of this process) of some work."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(scorer: Scorer, archs: list[Arch], options: argparse.Namespace) -> dict:
    """Score networks on all images and by halving, in one process; report times and the correlation.

    As in a search, the first candidates select the few images; the correlation is that of the others.
    """
    images = sum(len(batch) for batch in scorer.inputs)
    count = options.halving_images or default_images(images, scorer.criterion) or max(2, images // 5)
    subsets = [scorer.subset(count, seed) for seed in range(options.seed, options.seed + SUBSETS)]
    anchors, archs = archs[:ANCHORS], archs[ANCHORS:]
    chosen, correlation = best_subset([scorer(arch) for arch in anchors],
                                      [[subset(arch) for arch in anchors] for subset in subsets])
    full: dict[Arch, float] = {}
    halving = Halving()
    rows = []
    for arch in archs:
        wall, cpu = timed(lambda arch=arch: full.update({arch: scorer(arch)}))
        few_wall, few_cpu = timed(lambda arch=arch: halving.few.update({arch: subsets[chosen](arch)}))
        rows.append((wall, cpu, few_wall, few_cpu))
    best = [arch for part in batched(archs, options.population) for arch in halving.promoted(part)]
    halving.full = {arch: full[arch] for arch in best}
    wall, cpu, few_wall, few_cpu = (statistics.median(column) for column in zip(*rows, strict=True))
    share = len(best) / len(archs)
    estimates = halving.scores()
    by_few = [halving.few[arch] for arch in archs]
    return {"images": images, "halving_images": count, "candidates": len(archs), "scored_on_all": len(best),
            "seconds_full": round(wall, 4), "cpu_seconds_full": round(cpu, 4),
            "seconds_halving": round(few_wall + share * wall, 4),
            "cpu_seconds_halving": round(few_cpu + share * cpu, 4),
            "speedup": round(wall / (few_wall + share * wall), 2),
            "cpu_speedup": round(cpu / (few_cpu + share * cpu), 2),
            "correlation_of_anchors": round(correlation, 4),
            "spearman_few": round(float(spearmanr(list(full.values()), by_few).statistic), 4),
            "spearman": round(float(spearmanr(list(full.values()), list(estimates.values())).statistic), 4)}


def throughput(scorer: Scorer, archs: list[Arch], processes: int) -> dict:
    """Measure the candidates per second on all images, in one process with threads and in several."""
    torch.set_num_threads(usable_cores())
    scorer(archs[0])
    threads, _ = timed(lambda: [scorer(arch) for arch in archs])
    pool = ScoringProcesses(lambda arch, subset: scorer(arch), processes)
    try:
        list(pool.scores(archs[:processes], None))  # warm-up
        several, _ = timed(lambda: list(pool.scores(archs, None)))
    finally:
        pool.close()
    return {"processes": processes, "per_second_threads": round(len(archs) / threads, 3),
            "per_second_processes": round(len(archs) / several, 3), "gain": round(threads / several, 2)}


def main() -> None:
    """Parse the arguments and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--supernet", help="folder of the run of a trained supernet")
    add("--flags", default="", help="further flags of search.py for --supernet, as one text")
    add("--criterion", default=AGREEMENT, help="score of candidates, with --supernet")
    add("--netG", choices=generator_names(), default="unet_128", help="network without --supernet")
    add("--ngf", type=integer(1, 65536), default=64, help="base width without --supernet")
    add("--norm", default="batch", help="norm without --supernet")
    add("--size", type=SIDE, default=128, help="side of the images in pixels without --supernet")
    add("--images", type=integer(2), default=100, help="number of images")
    add("--halving_images", type=integer(0), default=0, help="as in search.py; 0: its default")
    add("--macs", help="MACs budget of the candidates (default: 1/15 of the original)")
    add("--least_share", type=number(0, below=1), default=0.8, help="as in search.py")
    add("--candidates", type=integer(2), default=50, help="number of candidates")
    add("--population", type=integer(2), default=50,
        help="candidates per generation, of which one in 16 is scored on all images")
    add("--processes", type=integer(0, 1024), default=0,
        help="also measure the candidates per second of this many processes; 0: do not")
    add("--seed", type=integer(0), default=0, help="seed of the candidates and the subset")
    options = parser.parse_args()
    scorer, size = (scorer_of_run if options.supernet else random_scorer)(options)
    net = scorer.supernet
    space, model = SearchSpace.of(net.full), CostModel.of(net, size)
    largest = int(model.macs([space.largest])[0])
    budget = parse_macs(options.macs) if options.macs else largest // 15
    rng = np.random.default_rng(options.seed)
    archs = list(dict.fromkeys(space.sample(rng, options.candidates + ANCHORS, model, budget,
                                            int(options.least_share * budget))))
    extraction = statistics.median(timed(lambda arch=arch: extract(net, arch))[1] for arch in archs[:9])
    report = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "torch": torch.__version__,
              "threads": torch.get_num_threads(), "network": net.full.family, "size": list(size),
              "budget_macs": budget, "cpu_seconds_extraction": round(extraction, 4),
              **compare(scorer, archs, options)}
    if options.processes:
        report |= throughput(scorer, archs[:12], options.processes)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    run_main(main)

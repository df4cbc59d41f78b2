"""Measure training with several processes (torchrun): images by second, and the communication; prints JSON.

    python benchmarks/scaling.py --netG unet_128 --size 128x128 --ngf 32 --batch_size 4 --processes 1 2

Every process has one thread and a batch of its own. Of every stage and number of processes, the JSON has the
median seconds of a step; the images of all processes by second; the megabytes and the number of all-reduces
of a step of one process; the seconds by which a step waits for them (`waiting`: after the backward passes,
and in losses and norms); and the seconds of these all-reduces without other work (`communication`). What is
not waited for is hidden behind the backward passes. With a GPU for every process, NCCL communicates.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.step_profile import synchronize
from benchmarks.train_step import (
    ORIGINAL_MODELS,
    add_network_arguments,
    make_supernet,
    options,
    random_batch,
)
from compression.elastic.families import family_of
from compression.runtime import distributed
from compression.runtime.gradients import GradientAverager
from compression.runtime.numbers import integer
from models import create_model
from util.entry import run_main


class Traffic:
    """Records the all-reduces of this process and how long it waits for them.

    Attributes:
        sizes: elements and type of every all-reduce.
        waiting: seconds.
    """

    def __init__(self):
        self.sizes = []
        self.waiting = 0.0
        all_reduce, finish = dist.all_reduce, GradientAverager.finish

        def recorded(tensor, *args, async_op=False, **kwargs):
            self.sizes.append((tensor.numel(), tensor.dtype))
            begin = time.perf_counter()
            work = all_reduce(tensor, *args, async_op=async_op, **kwargs)
            self.waiting += 0 if async_op else time.perf_counter() - begin
            return work

        def timed(averager):
            begin = time.perf_counter()
            finish(averager)
            self.waiting += time.perf_counter() - begin

        dist.all_reduce, GradientAverager.finish = recorded, timed

    def clear(self):
        """Forget what was recorded."""
        self.sizes.clear()
        self.waiting = 0.0


def work(stage, args, folder):
    """Measure a stage in one of the processes of torchrun."""
    opt = options(stage, args.amp, args, folder)
    torch.manual_seed(distributed.rank())
    model = create_model(opt)
    model.setup(opt)
    batch = random_batch(opt, args)
    traffic = Traffic()
    seconds, waiting = [], []
    for _ in range(args.steps + 1):
        traffic.clear()
        synchronize(model.device)
        begin = time.perf_counter()
        model.train_step(batch)
        synchronize(model.device)
        seconds.append(time.perf_counter() - begin)
        waiting.append(traffic.waiting)
    sizes = list(traffic.sizes)
    tensors = [torch.zeros(count, dtype=dtype, device=model.device) for count, dtype in sizes]
    durations = []
    for _ in range(args.steps):
        begin = time.perf_counter()
        for tensor in tensors:
            dist.all_reduce(tensor)
        synchronize(model.device)
        durations.append(time.perf_counter() - begin)
    step = statistics.median(seconds[1:])
    return {"seconds_per_step": round(step, 4),
            "images_per_second": round(args.batch_size * distributed.world_size() / step, 3),
            "megabytes": round(sum(tensor.nbytes for tensor in tensors) / 1e6, 2), "all_reduces": len(sizes),
            "waiting": round(statistics.median(waiting[1:]), 4),
            "communication": round(statistics.median(durations), 4)}


def main():
    """Start the processes of every stage and print the results, or be one of these processes."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network_arguments(parser)
    parser.add_argument("--batch_size", type=integer(1, 65536), default=1, help="images of a process")
    parser.add_argument("--steps", type=integer(1), default=5)
    parser.add_argument("--amp", choices=("none", "bf16"), default="none")
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--processes", nargs="+", type=integer(1, 1024), default=[1, 2])
    parser.add_argument("--stages", nargs="+", default=["original", "ugc_supernet", "ugc_distill"],
                        help="original, ugc_supernet, ugc_distill")
    parser.add_argument("--folder", help=argparse.SUPPRESS)  # of a process that torchrun has started
    args = parser.parse_args()
    if args.folder:
        row = work(args.stages[0], args, Path(args.folder))
        if distributed.rank() == 0:
            Path(args.folder, "row.json").write_text(json.dumps(row), encoding="utf-8")
        return
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        make_supernet(Path(folder), args)
        for stage in args.stages:
            model = ORIGINAL_MODELS[family_of(args.netG).name] if stage == "original" else stage
            for count in args.processes:
                rows[f"{model}/{count}"] = start(model, count, args, folder)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU, one thread for each process"
    print(json.dumps({"settings": vars(args), "device": device, "torch": torch.__version__, "rows": rows},
                     indent=1))


def start(stage, count, args, folder):
    """Run this file with torchrun in a number of processes; returns the result of process 0."""
    settings = ["--netG", args.netG, "--ngf", args.ngf, "--ndf", args.ndf, "--size", args.size,
                "--batch_size", args.batch_size, "--steps", args.steps, "--amp", args.amp, "--folder", folder,
                *(["--norm", args.norm] if args.norm else []),
                *(["--channels_last"] if args.channels_last else []), "--stages", stage]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", count, "--standalone",
               __file__, *settings]
    subprocess.run([str(word) for word in command], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
                   stdout=subprocess.DEVNULL)
    return json.loads(Path(folder, "row.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_main(main)

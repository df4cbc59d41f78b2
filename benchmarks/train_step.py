"""Seconds per image and memory of a training step, as JSON: the original, the supernet and the distillation, fp32 and bf16.

    python benchmarks/train_step.py --netG resnet_9blocks --size 256x256 --steps 5
    python benchmarks/train_step.py --netG spade --size 256x512 --steps 1 --stages ugc_supernet --amp none

An image is one labeled pair with one unlabeled input beside it (pix2pix: the pair alone). Times are medians over
steps after one of warm-up; the ratios are to the first row of the same run. Every row runs in a process of its own.
`memory_gib` has what train.py estimates before the first step and what the model and its steps were measured to need (on
a GPU what was allocated, else by how much the process grew; null where the system does not tell).
"""
import argparse
import contextlib
import io
import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression import CostModel, SearchSpace, save_atomic  # noqa: E402
from compression.cost import parse_size  # noqa: E402
from compression.elastic.families import family_of  # noqa: E402
from compression.checkpoints.files import write_json  # noqa: E402
from models import builders, create_model  # noqa: E402
from options.train_options import TrainOptions  # noqa: E402
from util.entry import run_main  # noqa: E402

import numpy as np  # noqa: E402

STUDENT = {"resnet": 1.4e9, "unet": 1.2e9, "pix2pixhd": 12e9, "spade": 13e9}  # MACs, as in the published tables
ORIGINAL = {"resnet": "pix2pix", "unet": "pix2pix", "pix2pixhd": "pix2pixhd", "spade": "spade"}  # --model


def make_supernet(folder, args):
    """A run with untrained weights and architectures of the usual budgets, for the distillation to start from."""
    opt = options("ugc_supernet", "none", args, folder)
    net = builders.build_original(opt)
    save_atomic(net.state_dict(), folder / "net" / "latest_net_G.pth")
    save_atomic(builders.build_original_discriminator(opt).state_dict(), folder / "net" / "latest_net_D.pth")
    space, rng = SearchSpace.of(net.full, args.ngf), np.random.default_rng(0)
    cost_model = CostModel.of(net, family_of(args.netG).size)

    def draw(part, budget):
        budget = max(budget, 1.5 * cost_model.cost(part.smallest)["macs"])
        return part.sample(rng, 1, cost_model, budget, 0.5 * budget)[0]

    macs = STUDENT[net.family] * (args.ngf / 64) ** 2
    student = draw(space, macs)
    between = (macs * cost_model.cost(space.largest)["macs"]) ** 0.5
    for name, part in (("teacher_wide", space.wider_than(student)), ("teacher_deep", space.full_depth())):
        write_json(folder / "net" / "search" / f"{name}.json", draw(part, between).to_json())
    write_json(folder / "net" / "search" / "student.json", student.to_json())


def options(model_name, amp, args, folder):
    """The options of a training run of the model."""
    flags = ["--model", model_name, "--name", "bench", "--checkpoints_dir", str(folder), "--netG", args.netG,
             "--ngf", str(args.ngf), "--ndf", "64", "--amp", amp, "--batch_size", str(args.batch_size),
             "--num_upsampling_layers", "more"]
    flags += ["--norm", args.norm] if args.norm else []
    flags += ["--label_nc", "35"] if family_of(args.netG).semantic else []
    flags += ["--channels_last"] if args.channels_last else []
    flags += ["--supernet", "net"] if model_name == "ugc_distill" else []
    with contextlib.redirect_stdout(io.StringIO()):
        return TrainOptions().parse(flags)


def process_bytes(key):
    """What /proc tells of this process's memory: VmRSS now, VmHWM at most so far; None where there is no /proc."""
    table = Path("/proc/self/status")
    lines = table.read_text(encoding="ascii").splitlines() if table.is_file() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(key)), None)


def measure(model_name, amp, args, folder):
    """(median seconds of a step for one image, estimated bytes, measured bytes or None)."""
    opt = options(model_name, amp, args, folder)
    before = process_bytes("VmRSS")
    with contextlib.redirect_stdout(io.StringIO()):
        torch.manual_seed(0)
        model = create_model(opt)
        model.setup(opt)
    size, image = parse_size(args.size), lambda: torch.rand(args.batch_size, 3, *size) * 2 - 1
    inputs = (lambda: torch.randint(0, 35, (args.batch_size, 2, *size))) if opt.label_nc else image
    batch = {"A": inputs(), "B": image(), "A_paths": [""], "B_paths": [""]}
    if model_name.startswith("ugc"):
        batch["unlabeled"] = inputs()
    estimate, times = model.memory_needed(batch), []
    for _ in range(args.steps + 1):
        begin = time.perf_counter()
        model.set_input(batch)
        model.optimize_parameters()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    peak = torch.cuda.max_memory_allocated() if model.device.type == "cuda" else before and process_bytes("VmHWM") - before
    return statistics.median(times[1:]) / args.batch_size, estimate, peak


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netG", default="resnet_9blocks")
    parser.add_argument("--ngf", type=int, default=64)
    parser.add_argument("--norm", help="default: the family's")
    parser.add_argument("--size", default="256x256", help="height x width")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--stages", nargs="+", choices=("original", "ugc_supernet", "ugc_distill"),
                        default=["original", "ugc_supernet", "ugc_distill"])
    parser.add_argument("--amp", nargs="+", choices=("none", "bf16"), default=["none", "bf16"])
    args = parser.parse_args()
    rows, memory = {}, {}
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        make_supernet(Path(folder), args)
        for amp in args.amp:
            for stage in args.stages:
                name = ORIGINAL[family_of(args.netG).name] if stage == "original" else stage
                row = f"{name}/{'fp32' if amp == 'none' else amp}"
                rows[row], *amounts = pool.apply(measure, (name, amp, args, Path(folder)))
                memory[row] = [None if amount is None else round(amount / 2 ** 30, 2) for amount in amounts]
    base = next(iter(rows.values()))
    print(json.dumps({"settings": vars(args), "device": torch.cuda.get_device_name() if torch.cuda.is_available() else
                      f"CPU {platform.machine()}, {torch.get_num_threads()} threads", "torch": torch.__version__,
                      "seconds_per_image": {k: round(v, 4) for k, v in rows.items()},
                      "ratio_to_first": {k: round(v / base, 3) for k, v in rows.items()},
                      "memory_gib": {k: {"estimated": e, "measured": m} for k, (e, m) in memory.items()}}, indent=1))


if __name__ == "__main__":
    run_main(main)

"""Measure seconds per image and memory of a training step of all stages, in fp32 and bf16; prints JSON.

    python benchmarks/train_step.py --netG resnet_9blocks --size 256x256 --steps 5
    python benchmarks/train_step.py --netG spade --size 256x512 --steps 1 --stages ugc_supernet --amp none

    python benchmarks/train_step.py --netG unet_128 --size 128x128 --ngf 32 --stages ugc_distill \
        --variants "--perceptual none" "--perceptual discriminator" "--perceptual hed"

An image is one labeled pair together with one unlabeled input (the original: only the pair). Times are
medians over the steps after one warm-up step; ratios are relative to the first row of the same run. Every row
runs in a separate process. `memory_gib` has the estimate that train.py prints before the first step, and the
measured memory of the model
and its steps: the peak allocation on a GPU, else the growth of the process (null where the system does not
report it).
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

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression import CostModel, SearchSpace, save_atomic
from compression.checkpoints.files import write_json
from compression.cost import parse_size
from compression.elastic.families import family_of
from compression.runtime.numbers import integer
from models import builders, create_model
from options.earlier_runs import plain_settings
from options.train_options import TrainOptions
from util.entry import run_main

# MACs of the students in the published tables
STUDENT_MACS = {"resnet": 1.4e9, "unet": 1.2e9, "pix2pixhd": 12e9, "spade": 13e9}
# --model of the originals
ORIGINAL_MODELS = {"resnet": "pix2pix", "unet": "pix2pix", "pix2pixhd": "pix2pixhd", "spade": "spade"}
GIB = 2 ** 30


def make_supernet(folder, args):
    """Create an untrained supernet and architectures of the usual budgets as a start for the distillation."""
    opt = options("ugc_supernet", "none", args, folder)
    net = builders.build_original(opt)
    save_atomic(net.state_dict(), folder / "net" / "latest_net_G.pth")
    save_atomic(builders.build_original_discriminator(opt).state_dict(), folder / "net" / "latest_net_D.pth")
    write_json(folder / "net" / "train_opt.json", plain_settings(opt))
    space = SearchSpace.of(net.full, args.ngf)
    rng = np.random.default_rng(0)
    cost_model = CostModel.of(net, family_of(args.netG).size)

    def draw(part, budget):
        smallest, largest = cost_model.macs([part.smallest, part.largest])
        budget = min(max(budget, 1.5 * smallest), largest)
        return part.sample(rng, 1, cost_model, budget, 0.5 * budget)[0]

    student_macs = STUDENT_MACS[net.family] * (args.ngf / 64) ** 2
    student = draw(space, student_macs)
    teacher_macs = (student_macs * cost_model.cost(space.largest)["macs"]) ** 0.5  # the geometric mean
    search = folder / "net" / "search"
    write_json(search / "teacher_wide.json", draw(space.wider_than(student), teacher_macs).to_json())
    write_json(search / "teacher_deep.json", draw(space.deeper_than(student), teacher_macs).to_json())
    write_json(search / "student.json", student.to_json())


def options(model_name, amp, args, folder, variant=""):
    """Parse the options of a training run of the model; `variant` has further flags."""
    flags = ["--model", model_name, "--name", "bench", "--checkpoints_dir", str(folder), "--netG", args.netG,
             "--ngf", str(args.ngf), "--ndf", "64", "--amp", amp, "--batch_size", str(args.batch_size),
             "--num_upsampling_layers", "more"]
    flags += ["--norm", args.norm] if args.norm else []
    flags += ["--label_nc", "35"] if family_of(args.netG).semantic else []
    flags += ["--channels_last", "on" if args.channels_last else "off"]
    flags += ["--supernet", "net"] if model_name == "ugc_distill" else []
    with contextlib.redirect_stdout(io.StringIO()):
        return TrainOptions().parse([*flags, *variant.split()])


def process_bytes(key):
    """Read this process's memory in bytes, VmRSS now or VmHWM at its peak; None where there is no /proc."""
    table = Path("/proc/self/status")
    lines = table.read_text(encoding="ascii").splitlines() if table.is_file() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(key)), None)


def measure(model_name, amp, args, folder, variant):
    """Measure the training step of a model.

    Returns:
        Median seconds for one image, estimated bytes, and measured bytes or None.
    """
    opt = options(model_name, amp, args, folder, variant)
    before = process_bytes("VmRSS")
    with contextlib.redirect_stdout(io.StringIO()):
        torch.manual_seed(0)
        model = create_model(opt)
        model.setup(opt)
    size = parse_size(args.size)

    def random_image():
        return torch.rand(args.batch_size, 3, *size) * 2 - 1

    def random_input():
        return torch.randint(0, 35, (args.batch_size, 2, *size)) if opt.label_nc else random_image()

    batch = {"A": random_input(), "B": random_image(), "A_paths": [""], "B_paths": [""]}
    if model_name.startswith("ugc"):
        batch["unlabeled"] = random_input()
    estimate = model.memory_needed(batch)
    times = []
    for _ in range(args.steps + 1):
        begin = time.perf_counter()
        model.set_input(batch)
        model.optimize_parameters()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    if model.device.type == "cuda":
        measured = torch.cuda.max_memory_allocated()
    else:
        measured = before and process_bytes("VmHWM") - before
    return statistics.median(times[1:]) / args.batch_size, estimate, measured


def main():
    """Measure all stages and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netG", default="resnet_9blocks")
    parser.add_argument("--ngf", type=integer(1, 65536), default=64)
    parser.add_argument("--norm", help="default: that of the family")
    parser.add_argument("--size", default="256x256", help="height x width")
    parser.add_argument("--batch_size", type=integer(1, 65536), default=1)
    parser.add_argument("--steps", type=integer(1), default=5)
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--stages", nargs="+", choices=("original", "ugc_supernet", "ugc_distill"),
                        default=["original", "ugc_supernet", "ugc_distill"])
    parser.add_argument("--variants", nargs="+", default=[""],
                        help="flags of ugc_distill to compare, a row for each argument")
    parser.add_argument("--amp", nargs="+", choices=("none", "bf16"), default=["none", "bf16"])
    args = parser.parse_args()
    seconds, memory = {}, {}
    new_processes = multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1)
    with tempfile.TemporaryDirectory() as folder, new_processes as pool:
        make_supernet(Path(folder), args)
        for amp in args.amp:
            for stage in args.stages:
                model = ORIGINAL_MODELS[family_of(args.netG).name] if stage == "original" else stage
                for variant in args.variants if stage == "ugc_distill" else [""]:
                    row = f"{model}/{'fp32' if amp == 'none' else amp} {variant}".strip()
                    measured = pool.apply(measure, (model, amp, args, Path(folder), variant))
                    seconds[row] = measured[0]
                    names = zip(("estimated", "measured"), measured[1:], strict=True)
                    memory[row] = {name: value and round(value / GIB, 2) for name, value in names}
    device = f"CPU {platform.machine()}, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    first = next(iter(seconds.values()))
    print(json.dumps({"settings": vars(args), "device": device, "torch": torch.__version__,
                      "seconds_per_image": {row: round(value, 4) for row, value in seconds.items()},
                      "ratio_to_first": {row: round(value / first, 3) for row, value in seconds.items()},
                      "memory_gib": memory}, indent=1))


if __name__ == "__main__":
    run_main(main)

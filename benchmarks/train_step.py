"""Measure seconds per image and memory of a training step of all stages, in fp32 and bf16; prints JSON.

    python benchmarks/train_step.py --netG resnet_9blocks --size 256x256 --steps 5
    python benchmarks/train_step.py --netG spade --size 256x512 --steps 1 --stages ugc_supernet --amp none

    python benchmarks/train_step.py --netG unet_128 --size 128x128 --ngf 32 --stages ugc_distill \
        --variants "--perceptual none" "--perceptual discriminator" "--perceptual hed"

An image is one labeled pair together with one unlabeled input (the original: only the pair). Times are
medians over the steps after one warm-up step; ratios are relative to the first row of the same run. Every row
runs in a separate process.

`fraction_of_peak` is the number of convolutional multiply-accumulates by second (those of the backward
passes included, counted by PyTorch's flop counter), divided by that of the fastest of typical layers in this
precision, measured in the same run (`convolution_peak`). `cpu_seconds_per_image` and `fraction_of_cpu_peak`
count the time of the CPU, which hardly depends on what else runs. `breakdown` has seconds and GMACs of one
image by network and direction, the seconds of the convolutions among them, and the slowest other operations.
`loader_seconds_per_image` is the time of the data loader for one image, without workers.

`memory_gib` has the estimate that train.py prints before the first step, what PyTorch's allocator measured
during a step (`measured`), and the growth of the process (`process`; null where the system does not report
it). The C library keeps a part of what PyTorch frees: a process on a CPU grows by more than its tensors.
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
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.step_profile import StepProfile, allocated_peak, convolution_peaks, stopwatch
from compression import CostModel, SearchSpace, save_atomic
from compression.checkpoints.files import write_json
from compression.cost import parse_size
from compression.elastic.families import family_of
from compression.runtime.memory import step_memory
from compression.runtime.numbers import integer
from data import create_dataset
from models import builders, create_model
from options.earlier_runs import plain_settings
from options.train_options import TrainOptions
from util.entry import run_main

# MACs of the students in the published tables
STUDENT_MACS = {"resnet": 1.4e9, "unet": 1.2e9, "pix2pixhd": 12e9, "spade": 13e9}
# --model of the originals
ORIGINAL_MODELS = {"resnet": "pix2pix", "unet": "pix2pix", "pix2pixhd": "pix2pixhd", "spade": "spade"}
PRECISIONS = {"none": "fp32", "bf16": "bf16"}  # value of --amp -> its name in the report
GIB = 2 ** 30


def make_supernet(folder, args):
    """Create an untrained supernet and architectures of the usual budgets as a start for the distillation.

    Returns:
        The search space, and a function that draws an architecture of a part of it with at most some MACs.
    """
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
    return space, draw


def options(model_name, amp, args, folder, variant=""):
    """Parse the options of a training run of the model; `variant` has further flags."""
    flags = ["--model", model_name, "--name", "bench", "--checkpoints_dir", str(folder), "--netG", args.netG,
             "--ngf", str(args.ngf), "--ndf", str(args.ndf), "--amp", amp,
             "--batch_size", str(args.batch_size), "--num_upsampling_layers", "more"]
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


def random_batch(opt, args):
    """Make a batch of random images, or label maps, in the form of the data loader's."""
    shape = (args.batch_size, 3, *parse_size(args.size))

    def random_image():
        return torch.rand(shape) * 2 - 1

    def random_input():
        return torch.randint(0, 35, (shape[0], 2, *shape[2:])) if opt.label_nc else random_image()

    batch = {"A": random_input(), "B": random_image(), "A_paths": [""], "B_paths": [""]}
    if opt.model.startswith("ugc"):
        batch["unlabeled"] = random_input()
    return batch


def networks_of(model):
    """Return name -> network of a model: generators, discriminator, and the networks of features."""
    names = {"G": "generator", "D": "discriminator", "S": "student", "E": "encoder"}
    networks = {names.get(name, name): net for name, net in model.named_networks() if name != "T"}
    networks |= {f"teacher {name}": net for name, net in getattr(model, "netT", {}).items()}
    extractor = getattr(model, "extractor", None)
    vgg = getattr(model.objective, "vgg", None)
    further = {"features": extractor, "perceptual loss": vgg}
    return networks | {name: network for name, network in further.items() if network}


def held_bytes(model):
    """Return the bytes of the tensors that exist between two steps: weights, moments, averages, images."""
    return step_memory(model, lambda _: None, model.device).held


def measure(model_name, amp, args, folder, variant):
    """Measure the training step of a model.

    Returns:
        A row of the report, by the names of the report.
    """
    opt = options(model_name, amp, args, folder, variant)
    before = process_bytes("VmRSS")
    with contextlib.redirect_stdout(io.StringIO()):
        torch.manual_seed(0)
        model = create_model(opt)
        model.setup(opt)
    batch = random_batch(opt, args)
    estimate = model.memory_needed(batch)
    times = []
    for _ in range(args.steps + 1):
        with stopwatch(model.device) as seconds:
            model.train_step(batch)
        times.append(seconds)
    process = before and process_bytes("VmHWM") - before
    if model.device.type == "cuda":
        process = None
    measured = allocated_peak(model.device, lambda: model.train_step(batch))
    if model.device.type == "cpu":
        measured += held_bytes(model)
    profiler = StepProfile(model.device)
    with profiler.watching(networks_of(model)):
        model.train_step(batch)
    breakdown = profiler.summary(args.batch_size)
    side = max(parse_size(args.size))
    loader_options = argparse.Namespace(**vars(opt) | {"load_size": side, "crop_size": side})
    with contextlib.redirect_stdout(io.StringIO()):
        loader = create_dataset(loader_options)
    loader.set_epoch(1)
    with stopwatch(torch.device("cpu")) as loading:
        images = sum(len(batch["A"]) for batch, _ in zip(loader, range(4), strict=False))
    memory = {"estimated": estimate.peak, "measured": measured, "process": process}
    return {"seconds_per_image": statistics.median(t.wall for t in times[1:]) / args.batch_size,
            "cpu_seconds_per_image": statistics.median(t.cpu for t in times[1:]) / args.batch_size,
            "gmacs_per_image": sum(part["gmacs"] for parts in breakdown.values() for part in parts.values()),
            "loader_seconds_per_image": loading.wall / max(1, images),
            "memory_gib": {name: value and round(value / GIB, 3) for name, value in memory.items()},
            "breakdown": breakdown}


def report(rows, peaks, args):
    """Combine the rows of all stages.

    Args:
        rows: name -> result of :func:`measure`. Names are model/precision and the flags of the variant.
        peaks: those of convolution_peaks.
        args: the settings.
    """
    names = next(iter(rows.values()))
    columns = {name: {row: values[name] for row, values in rows.items()} for name in names}
    seconds = columns["seconds_per_image"]
    first = next(iter(seconds.values()))
    columns["ratio_to_first"] = {row: round(value / first, 3) for row, value in seconds.items()}
    fractions = {"fraction_of_peak": {}, "fraction_of_cpu_peak": {}}
    for row, values in rows.items():
        precision = row.split()[0].rpartition("/")[2]
        same = [rates for name, rates in peaks.items() if name.startswith(precision)]
        macs = 1e9 * values["gmacs_per_image"]
        fractions["fraction_of_peak"][row] = round(
            macs / values["seconds_per_image"] / max(rates.wall for rates in same), 3)
        if not torch.cuda.is_available():
            fractions["fraction_of_cpu_peak"][row] = round(
                macs / values["cpu_seconds_per_image"] / max(rates.cpu for rates in same), 3)
    for name in ("seconds_per_image", "cpu_seconds_per_image", "gmacs_per_image", "loader_seconds_per_image"):
        columns[name] = {row: round(value, 4) for row, value in columns[name].items()}
    device = f"CPU {platform.machine()}, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    rates = {name: {"gmacs_per_second": round(rates.wall / 1e9, 1),
                    "gmacs_per_cpu_second": round(rates.cpu / 1e9, 1)} for name, rates in peaks.items()}
    breakdown = columns.pop("breakdown")
    return {"settings": vars(args), "device": device, "torch": torch.__version__, "convolution_peak": rates,
            **columns, **fractions, "breakdown": breakdown}


def add_network_arguments(parser):
    """Add the arguments of the networks and of the image size."""
    parser.add_argument("--netG", default="resnet_9blocks")
    parser.add_argument("--ngf", type=integer(1, 65536), default=64)
    parser.add_argument("--ndf", type=integer(1, 65536), default=64)
    parser.add_argument("--norm", help="default: that of the family")
    parser.add_argument("--size", default="256x256", help="height x width")


def main():
    """Measure all stages and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network_arguments(parser)
    parser.add_argument("--batch_size", type=integer(1, 65536), default=1)
    parser.add_argument("--steps", type=integer(1), default=5)
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--stages", nargs="+", choices=("original", "ugc_supernet", "ugc_distill"),
                        default=["original", "ugc_supernet", "ugc_distill"])
    parser.add_argument("--variants", nargs="+", default=[""],
                        help="flags of ugc_distill to compare, a row for each argument")
    parser.add_argument("--amp", nargs="+", choices=("none", "bf16"), default=["none", "bf16"])
    args = parser.parse_args()
    rows = {}
    new_processes = multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder, new_processes as pool:
        make_supernet(Path(folder), args)
        precisions = [PRECISIONS[amp] for amp in args.amp]
        peaks = pool.apply(convolution_peaks, (device, args.batch_size, precisions))
        for amp in args.amp:
            for stage in args.stages:
                model = ORIGINAL_MODELS[family_of(args.netG).name] if stage == "original" else stage
                for variant in args.variants if stage == "ugc_distill" else [""]:
                    row = f"{model}/{PRECISIONS[amp]} {variant}".strip()
                    rows[row] = pool.apply(measure, (model, amp, args, Path(folder), variant))
    print(json.dumps(report(rows, peaks, args), indent=1))


if __name__ == "__main__":
    run_main(main)

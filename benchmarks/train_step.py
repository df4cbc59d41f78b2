"""Seconds per image of a training step, as JSON: the original, the supernet and the distillation, fp32 and bf16.

    python benchmarks/train_step.py --netG resnet_9blocks --size 256 --steps 5

An image is one labelled pair with one unlabelled input beside it (pix2pix: the pair alone). Times are medians over
steps after one of warm-up; the ratios are to the original's fp32 step of the same run.
"""
import argparse
import contextlib
import io
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression import CostModel, SearchSpace, build_discriminator, build_generator  # noqa: E402
from compression import save_atomic  # noqa: E402
from models import create_model  # noqa: E402
from options.train_options import TrainOptions  # noqa: E402
from util.entry import run_main  # noqa: E402
from util.util import write_json  # noqa: E402

import numpy as np  # noqa: E402

STUDENT = {"resnet": 1.4e9, "unet": 1.2e9}  # MACs at 256x256, as in the published tables


def make_supernet(folder, args):
    """A run with untrained weights and architectures of the usual budgets, for the distillation to start from."""
    net = build_generator(args.netG, ngf=args.ngf, norm=args.norm)
    save_atomic(net.state_dict(), folder / "net" / "latest_net_G.pth")
    save_atomic(build_discriminator(norm=args.norm).state_dict(), folder / "net" / "latest_net_D.pth")
    space, rng = SearchSpace.of(net.full, args.ngf), np.random.default_rng(0)
    cost_model = CostModel.of(net, (256, 256))
    budget = max(STUDENT[net.family] * (args.ngf / 64) ** 2, 1.5 * cost_model.cost(space.smallest)["macs"])
    student, = space.sample(rng, 1, cost_model, budget, 0.8 * budget)
    for name, part in (("teacher_wide", space.wider_than(student)), ("teacher_deep", space.full_depth())):
        teacher, = part.sample(rng, 1, cost_model, 6 * budget, 3 * budget)
        write_json(folder / "net" / "search" / f"{name}.json", teacher.to_json())
    write_json(folder / "net" / "search" / "student.json", student.to_json())


def seconds_per_image(model_name, amp, args, folder):
    """Median seconds of a step, divided by the batch size."""
    flags = ["--model", model_name, "--name", "bench", "--checkpoints_dir", str(folder), "--netG", args.netG, "--norm",
             args.norm, "--ngf", str(args.ngf), "--amp", amp, "--dataroot", ".", "--batch_size", str(args.batch_size)]
    flags += ["--channels_last"] if args.channels_last else []
    flags += ["--supernet", "net"] if model_name == "ugc_distill" else []
    with contextlib.redirect_stdout(io.StringIO()):
        torch.manual_seed(0)
        sys.argv[1:] = flags  # data sets read their own flags from there, as in the host
        model = create_model(opt := TrainOptions().parse())
        model.setup(opt)
    shape = (args.batch_size, 3, args.size, args.size)
    batch = {"A": torch.rand(shape) * 2 - 1, "B": torch.rand(shape) * 2 - 1, "A_paths": [""], "B_paths": [""]}
    if model_name != "pix2pix":
        batch["unlabeled"] = torch.rand(shape) * 2 - 1
    times = []
    for _ in range(args.steps + 1):
        begin = time.perf_counter()
        model.set_input(batch)
        model.optimize_parameters()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:]) / args.batch_size


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netG", default="resnet_9blocks")
    parser.add_argument("--ngf", type=int, default=64)
    parser.add_argument("--norm", default="instance")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--channels_last", action="store_true")
    args = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        make_supernet(Path(folder), args)
        for amp in ("none", "bf16"):
            for name in ("pix2pix", "ugc_supernet", "ugc_distill"):
                rows[f"{name}/{'fp32' if amp == 'none' else amp}"] = seconds_per_image(name, amp, args, Path(folder))
    base = rows["pix2pix/fp32"]
    print(json.dumps({"settings": vars(args), "device": torch.cuda.get_device_name() if torch.cuda.is_available() else
                      f"CPU {platform.machine()}, {torch.get_num_threads()} threads", "torch": torch.__version__,
                      "seconds_per_image": {k: round(v, 4) for k, v in rows.items()},
                      "ratio_to_pix2pix_fp32": {k: round(v / base, 3) for k, v in rows.items()}}, indent=1))


if __name__ == "__main__":
    run_main(main)

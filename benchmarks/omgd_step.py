"""Compare a step of the distillation with OMGD's arithmetic at equal networks and losses; print JSON.

    python benchmarks/omgd_step.py --netG unet_256 --batch_size 4
    python benchmarks/omgd_step.py --netG resnet_9blocks --norm instance --steps 3

Both train the same networks on labeled pairs only: the student, the original as the wide teacher, a deep
teacher, and a discriminator with one head per teacher (hinge loss), with the features of a VGG-16 of random
weights. OMGD's steps run the passes of its published code (bytedance/OMGD, ``multiteacher_distiller.py``) in
fp32, with PyTorch's default optimizers and layout, and automatic gradients of all losses:

- the discriminator sees both fakes and, once per teacher, the real pairs for its own update, and both fakes
  once more for the update of the teachers,
- the VGG-16 sees the student's images once per teacher, and those of each teacher.

``seconds_per_image`` are medians over steps of both in turn, ``gmacs_per_image`` those of all convolutions
and matrix products of a step. ``every_3`` updates teachers and discriminator in every third step of the
student.
"""
import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.step_profile import stopwatch
from benchmarks.train_step import add_network_arguments, make_supernet, options, random_batch
from compression import save_atomic
from compression.checkpoints.files import write_json
from compression.elastic.families import family_of
from compression.runtime.modes import frozen
from compression.runtime.numbers import integer
from compression.runtime.torchvision_compat import import_torchvision
from models import create_model
from util.entry import run_main

# MACs of student and deep teacher at --ngf 64, near those of OMGD's published networks
BUDGETS = {"unet": (1.2e9, 2.9e9), "resnet": (3.8e9, 9.8e9)}
PERIODS = {"every": 1, "every_3": 3}  # steps of the student between two updates of the teachers
SIGMA, SIDE = 1.5, 11  # of the windows of SSIM


class OMGDStep:
    """The training step of OMGD's published code, with the networks of a model of stage 2.

    Args:
        model: a :class:`models.ugc_distill_model.UGCDistillModel` with a wide and a deep teacher.
        batch: as of the data loader.
        every: steps of the student between two updates of teachers and discriminator.
    """

    def __init__(self, model, batch, every):
        self.student, self.teachers, self.net_d = model.netS, model.netT, model.netD
        self.vgg = model.extractor
        self.x, self.y = model.to_device(batch["A"]), model.to_device(batch["B"])
        self.every, self.steps = every, 0
        adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
        self.optimizer_s, self.optimizer_d = (
            torch.optim.Adam(net.parameters(), **adam) for net in (self.student, self.net_d))
        self.optimizers_t = [torch.optim.Adam(net.parameters(), **adam) for net in self.teachers.values()]
        line = torch.exp(-(torch.arange(SIDE) - SIDE // 2) ** 2 / (2 * SIGMA ** 2))
        line = line / line.sum()
        self.window = torch.outer(line, line).repeat(3, 1, 1, 1).to(model.device)

    def discriminate(self, image, name):
        """Compute the last layer of the head of a teacher for (x, image)."""
        return self.net_d(torch.cat((self.x, image), 1), name)[0][-1]

    def step(self):
        """Update discriminator, teachers, and student."""
        for optimizer in (self.optimizer_s, self.optimizer_d, *self.optimizers_t):
            optimizer.zero_grad()
        fakes = {name: teacher(self.x) for name, teacher in self.teachers.items()}
        student = self.student(self.x)
        if self.steps % self.every == 0:
            loss = sum(F.relu(1 + self.discriminate(fake.detach(), name)).mean()
                       + F.relu(1 - self.discriminate(self.y, name)).mean() for name, fake in fakes.items())
            (0.5 * loss).backward()
            with frozen(self.net_d):
                for name, fake in fakes.items():
                    (100 * F.l1_loss(fake, self.y) - self.discriminate(fake, name).mean()).backward()
            for optimizer in (self.optimizer_d, *self.optimizers_t):
                optimizer.step()
        sum(self.distillation(student, fake.detach()) for fake in fakes.values()).backward()
        self.optimizer_s.step()
        self.steps += 1

    def distillation(self, student, teacher):
        """Compute the loss between the images of the student and of one teacher."""
        targets, features = self.vgg(teacher), self.vgg(student)
        style = sum(F.l1_loss(self.gram(a), self.gram(b)) for a, b in zip(features, targets, strict=True))
        variation = student.diff(dim=2).abs().sum() + student.diff(dim=3).abs().sum()
        return (10 * (1 - self.ssim(student, teacher)) + 1e4 * style
                + 10 * F.l1_loss(features[1], targets[1]) + 1e-5 * variation)

    @staticmethod
    def gram(layer):
        """Compute the Gram matrix of a layer, (N, C, H, W) -> (N, C, C)."""
        flat = layer.flatten(2)
        return flat @ flat.transpose(1, 2) / flat[0].numel()

    def ssim(self, a, b):
        """Compute the mean SSIM with a two-dimensional window."""
        def mean(image):
            return F.conv2d(image, self.window, padding=SIDE // 2, groups=3)

        mean_a, mean_b = mean(a), mean(b)
        variances = mean(a * a) + mean(b * b) - mean_a ** 2 - mean_b ** 2
        covariance = mean(a * b) - mean_a * mean_b
        return ((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
                / ((mean_a ** 2 + mean_b ** 2 + 1e-4) * (variances + 9e-4))).mean()


def write_networks(folder, args):
    """Write an untrained supernet with architectures near those of OMGD, and a VGG-16 with random weights."""
    space, draw = make_supernet(folder, args)
    student_macs, deep_macs = (macs * (args.ngf / 64) ** 2 for macs in BUDGETS[family_of(args.netG).name])
    student = draw(space, student_macs)
    archs = {"student": student, "teacher_wide": space.largest,
             "teacher_deep": draw(space.deeper_than(student), deep_macs)}
    for name, arch in archs.items():
        write_json(folder / "net" / "search" / f"{name}.json", arch.to_json())
    vgg = import_torchvision().models.vgg16().features
    save_atomic({f"features.{key}": value for key, value in vgg.state_dict().items()}, folder / "vgg.pth")


def build(folder, args, variant):
    """Build the model of stage 2, with further flags `variant`."""
    opt = options("ugc_distill", args.amp, args, folder,
                  f"--perceptual vgg16 --vgg_weights {folder / 'vgg.pth'} --gan_mode hinge {variant}")
    with contextlib.redirect_stdout(io.StringIO()):
        torch.manual_seed(0)
        model = create_model(opt)
        model.setup(opt)
    batch = random_batch(opt, args)
    batch.pop("unlabeled")
    return model, batch


def count_macs(period):
    """Count the GMACs of the steps until teachers and discriminator are updated again."""
    step, every = period
    with FlopCounterMode(display=False) as counter:
        for _ in range(every):
            step()
    return counter.get_total_flops() / 2e9 / every


def compare(folder, args, every):
    """Measure the steps of both in turn; `every` as in :class:`OMGDStep`."""
    ours, batch = build(folder, args, f"--teacher_every {every} --channels_last {args.channels_last}")
    theirs, _ = build(folder, args, "--channels_last off")
    theirs = OMGDStep(theirs, batch, every)
    steps = {"OMGD": (theirs.step, every), "here": (lambda: ours.train_step(batch), every)}
    rows = {name: {"gmacs_per_image": round(count_macs(period) / args.batch_size, 1)}
            for name, period in steps.items()}
    times = {name: [] for name in steps}
    for _ in range(args.steps):
        for name, (step, _) in steps.items():
            with stopwatch(ours.device) as seconds:
                for _ in range(every):
                    step()
            times[name].append(seconds)
    for name, measured in times.items():
        images = every * args.batch_size
        rows[name]["seconds_per_image"] = round(statistics.median(s.wall for s in measured) / images, 4)
        rows[name]["cpu_seconds_per_image"] = round(statistics.median(s.cpu for s in measured) / images, 4)
    ratios = [a.wall / b.wall for a, b in zip(times["OMGD"], times["here"], strict=True)]
    return {**rows, "channels_last": ours.opt.channels_last,
            "times_as_fast": round(statistics.median(ratios), 3),
            "range": [round(min(ratios), 3), round(max(ratios), 3)],
            "gmacs_ratio": round(rows["OMGD"]["gmacs_per_image"] / rows["here"]["gmacs_per_image"], 3)}


def main():
    """Measure both and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network_arguments(parser)
    parser.set_defaults(netG="unet_256", ndf=128)
    parser.add_argument("--batch_size", type=integer(1, 65536), default=1)
    parser.add_argument("--steps", type=integer(1), default=5)
    parser.add_argument("--amp", choices=("none", "bf16"), default="none",
                        help="precision of the steps here")
    parser.add_argument("--channels_last", choices=("auto", "on", "off"), default="auto",
                        help="layout of the steps here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_networks(folder, args)
        rows = {name: compare(folder, args, every) for name, every in PERIODS.items()}
    print(json.dumps({"settings": vars(args), "threads": torch.get_num_threads(), "torch": torch.__version__,
                      **rows}, indent=1))


if __name__ == "__main__":
    run_main(main)

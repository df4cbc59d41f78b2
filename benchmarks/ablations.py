"""Compare variants of stages 1 and 2 at equal computing time, on CamVid with few labels; prints JSON.

    python benchmarks/ablations.py --dataroot CamVid --work ablations --netG unet_128 --norm instance \\
        --label_ratio 0.25 --seeds 0 1 --minutes 10 10 --variants plain diffaugment
    python benchmarks/ablations.py --dataroot CamVid --work ablations --report     # only print the results
    ... --variant late_gan "" "--lambda_student_gan 1 --student_gan_start 11"  # a variant of your own

For each seed, the plain supernet is trained from scratch with the labels of --label_ratio and searched once
on training inputs. All variants use the architectures of this search. Variants with the same flags of stage 1
share a supernet. Every training of a stage has the same number of minutes on one thread: of the process's CPU
time, which other processes hardly change, or of the wall clock on a GPU. A training has 20 epochs for the
learning rate and for flags that count epochs: an epoch is a twentieth of its minutes.

With --original_minutes, the supernet starts from an original with the same labels; `originals` has its scores
and those of a reference with all labels, which no other training reads.

Scores are for the student as searched (`searched`), after stage 2 (`distilled`), and for the teachers at the
end. Choose by `decide`, 3 of 20 stretches of the training photos, on which no generator is trained. `val` is
for the report. A segmentation network, trained on the photos and label maps of train, computes mIoU, and FD
if the weights of HED (scripts/fetch_hed.py) are missing.
Each result is a file in --work/results; existing results are kept, so that an interrupted study continues.
Processes may share --work: a variant that another one works on is skipped.
"""
import argparse
import contextlib
import hashlib
import json
import shlex
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ablation_results import check_settings, report
from compression import calibrate, extract
from compression.checkpoints.files import read_json, write_json
from compression.distill.hed import hed_path
from compression.metrics import SetMetrics
from compression.runtime.numbers import SEED, SIDE, integer, number
from data import create_dataset
from data.held_out import held_out
from datasets.prepare_camvid import CLASSES, prepare
from models import create_model
from models.builders import build_metric_networks
from models.recent_inputs import COUNT
from options.base_options import write_options
from options.search_options import SearchOptions
from options.train_options import TrainOptions
from search import search
from util.entry import run_main, seed_everything
from util.label_maps import LabelMaps
from util.lock import FolderLock

EPOCHS = 20  # of the learning rate, in every training
STRETCHES, DECIDE = 20, (3, 10, 16)  # runs of neighboring photos, and those of the phase `decide`
PHASES = {"decide": "trainannot", "val": "valannot"}  # phase -> folder of its label maps
METRICS = ("L1", "PSNR", "SSIM", "FID", "mIoU")
ARCHITECTURES = {"student": "student", "wide": "teacher_wide", "deep": "teacher_deep"}

# name -> flags of stage 1, flags of stage 2; stage 2 inherits those of the discriminator
VARIANTS = read_json(Path(__file__).with_name("ablation_variants.json"))


def train(flags, minutes, before=None):
    """Train a model for `minutes` of computing time, and save its networks.

    Args:
        flags: the flags of train.py.
        minutes: the time, without that of building the model.
        before: function of the model and its data set that is called before training.

    Returns:
        The model, and the number of its steps.
    """
    schedule = ["--n_epochs", EPOCHS // 2, "--n_epochs_decay", EPOCHS // 2]
    opt = TrainOptions().parse([*map(str, flags), *map(str, schedule)])
    seed_everything(opt.seed)
    dataset = create_dataset(opt)
    model = create_model(opt)
    model.setup(opt)
    if before:
        before(model, dataset)
    steps = 0
    begin = seconds(model)
    for epoch, batch in epochs(dataset, lambda: (seconds(model) - begin) / (60 * minutes) * EPOCHS):
        while model.schedulers[0].last_epoch < epoch:
            model.update_learning_rate()
        model.train_step(batch)
        steps += 1
    model.run = uuid.uuid4().hex
    write_options(opt, model.run)
    model.save_networks("latest")
    return model, steps


def epochs(dataset, elapsed):
    """Yield (number of the epoch from 0, batch) until `elapsed`() reaches EPOCHS, in passes over the data."""
    data_pass = 0
    while True:
        data_pass += 1
        dataset.set_epoch(data_pass)
        for batch in dataset:
            if elapsed() >= EPOCHS:
                return
            yield int(elapsed()), batch


def seconds(model):
    """Return the time that the computations of this process have taken."""
    if model.device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


class Study:
    """The trainings of one generator, share of labels, and time; its files are in ``--work``."""

    def __init__(self, args):
        self.args = args
        self.source = Path(args.dataroot)
        self.work = Path(args.work)
        self.pairs = self.work / f"pairs_{args.size}"
        self.references = {}  # phase -> features of its photos
        self.setting = f"{args.netG}_{args.norm}_{args.label_ratio:g}_{args.minutes[0]:g}_{args.minutes[1]:g}"
        if args.original_minutes:
            self.setting += f"_original_{args.original_minutes:g}"

    @contextlib.contextmanager
    def locked(self, *name, wait=True):
        """Lock a name, or wait while another process holds the lock.

        Yields:
            Whether the name is locked; always true with `wait`.
        """
        lock = FolderLock(self.work.joinpath("locks", *name))
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(lock)
                except ValueError:
                    if wait:
                        time.sleep(5)
                        continue
                    lock = None
                break
            yield lock is not None

    def prepare(self):
        """Write the image pairs, and train the segmentation network."""
        with self.locked("prepare"):
            if not self.pairs.is_dir():
                prepare(self.source, self.pairs, self.args.size, ("train", "val"))
            self.split_decide()
            folder = self.work / "segmenter"
            if not (folder / "latest_segmenter.pth").is_file():
                flags = ["--model", "segmenter", "--name", "segmenter", "--dataroot", self.source,
                         "--label_nc", len(CLASSES), "--void_label", len(CLASSES) - 1,
                         "--checkpoints_dir", self.work, *self.flags()]
                model, _ = train(flags, self.args.segmenter_minutes)
                model.validate(held_out(model.opt, "val"))
                model.save_networks("latest")

    def split_decide(self):
        """Move the stretches of the phase `decide` out of the training pairs; does nothing if they are."""
        decide = self.pairs / "decide"
        decide.mkdir(exist_ok=True)
        files = sorted(path.name for phase in ("train", "decide") for path in (self.pairs / phase).iterdir())
        stretches = np.array_split(files, STRETCHES)
        for name in np.concatenate([stretches[k] for k in DECIDE]):
            if (self.pairs / "train" / name).is_file():
                (self.pairs / "train" / name).rename(decide / name)

    def flags(self):
        """Return the flags of every training."""
        args = self.args
        return ["--load_size", args.size, "--crop_size", args.size, "--num_threads", 0, "--no_html",
                "--overwrite", *shlex.split(args.flags)]

    def stage_flags(self, seed, name, more):
        """Return the flags of a training of stage 1 or 2: those of the study, and `more`, a text."""
        return ["--checkpoints_dir", self.work / self.setting / f"seed{seed}", "--name", name, "--seed", seed,
                "--batch_size", self.args.batch_size, *self.flags(), *shlex.split(more)]

    def networks(self):
        """Return the flags of the original's networks."""
        args = self.args
        return ["--dataroot", self.pairs, "--netG", args.netG, "--norm", args.norm, "--ngf", args.ngf]

    def originals(self, seed):
        """Train and score the original and the reference, unless this is done.

        Returns:
            The flags with which a supernet starts from the original.
        """
        folder = self.work / self.setting / f"seed{seed}"
        path = self.work / "results" / f"{self.setting}_originals_seed{seed}.json"
        with self.locked(self.setting, f"seed{seed}", "originals"):
            if not path.is_file():
                result = {"settings": self.settings("originals", seed), "steps": {}, "scores": {}}
                for name, ratio in {"reference": 1, "original": self.args.label_ratio}.items():
                    flags = ["--model", "pix2pix", "--dataset_mode", "adf", "--unlabeled", "none",
                             "--label_ratio", ratio, "--split_by", "stretch", *self.networks(),
                             *self.stage_flags(seed, name, "")]
                    model, result["steps"][name] = train(flags, self.args.original_minutes)
                    result["scores"][name] = self.score(model, model.network_to_save("G"))
                write_json(path, result)
        return ["--restore_G", folder / "original" / "latest_net_G.pth",
                "--restore_D", folder / "original" / "latest_net_D.pth"]

    def settings(self, variant, seed, **more):
        """Return the settings that are written into a result."""
        names = ("netG", "norm", "label_ratio", "minutes", "size", "ngf", "batch_size", "flags")
        settings = {name: getattr(self.args, name) for name in names}
        if self.args.original_minutes:
            settings["original_minutes"] = self.args.original_minutes
        return {**settings, "variant": variant, "seed": seed, **more}

    def supernet(self, seed, more):
        """Train the supernet with the flags `more`, a text, unless it exists; returns the name of its run."""
        name = "supernet"
        if more:
            name += f"_{hashlib.sha256(more.encode()).hexdigest()[:8]}"
        folder = self.work / self.setting / f"seed{seed}" / name
        with self.locked(self.setting, f"seed{seed}", name):
            if not (folder / "trained.json").is_file():
                start = self.originals(seed) if self.args.original_minutes else []
                flags = ["--model", "ugc_supernet", *self.networks(), *start, "--label_ratio",
                         self.args.label_ratio, "--split_by", "stretch", *self.stage_flags(seed, name, more)]
                _, steps = train(flags, self.args.minutes[0])
                write_json(folder / "trained.json", {"steps": steps, "flags": more})
        return name

    def architectures(self, seed):
        """Search the plain supernet, unless this is done; returns the folder of the architectures."""
        name = self.supernet(seed, "")
        folder = self.work / self.setting / f"seed{seed}" / name
        with self.locked(self.setting, f"seed{seed}", name):
            if not (folder / "search" / "pareto.json").is_file():
                flags = ["--name", name, "--checkpoints_dir", str(folder.parent), "--phase", "train",
                         "--seed", str(seed), *shlex.split(self.args.search_flags)]
                has_begun = (folder / "search" / "state.json").is_file()
                search(SearchOptions().parse([*flags, *(["--continue_train"] if has_begun else [])]))
        return folder / "search"

    def run(self, variant, stage_1, stage_2, seed):
        """Train and score a variant, unless there is a result, or another process works on it.

        Raises:
            ValueError: the result is of other flags.
        """
        path = self.work / "results" / f"{self.setting}_{variant}_seed{seed}.json"
        settings = self.settings(variant, seed, stage_1=stage_1, stage_2=stage_2)
        with self.locked("results", path.stem, wait=False) as is_locked:
            if path.is_file():
                check_settings(path, settings)
            if path.is_file() or not is_locked:
                return
            folder = self.architectures(seed)
            supernet = self.supernet(seed, stage_1)
            archs = [flag for name, file in ARCHITECTURES.items()
                     for flag in (f"--{name}_arch", str(folder / f"{file}.json"))]
            scores = {}
            model, steps = train(["--model", "ugc_distill", "--supernet", supernet, *archs,
                                  *self.stage_flags(seed, f"student_{variant}", stage_2)],
                                 self.args.minutes[1],
                                 lambda *arguments: scores.update(searched=self.score_searched(*arguments)))
            for name, net in {"distilled": model.network_to_save("S"), **model.netT}.items():
                scores[name] = self.score(model, net)
            write_json(path, {"settings": settings, "steps": steps, "scores": scores})

    def score_searched(self, model, dataset):
        """Score the student before the distillation; its batch norms are calibrated on training inputs."""
        for batch in dataset:
            if len(model.recent_inputs.items) >= COUNT or not model.has_batch_norm:
                break
            model.set_input(batch)
            model.remember_inputs()
        return self.score(model, model.netS)

    def score(self, model, net):
        """Compute the metrics of a network on both phases; batch norms are calibrated on recent inputs."""
        net = extract(net, net.full)
        if hasattr(model, "recent_inputs"):  # originals have running statistics
            with model.autocast():
                calibrate(net, model.calibration_batches())
        model.network_to_validate = lambda: net
        opt = argparse.Namespace(**vars(model.opt))
        opt.segmenter = str(self.work / "segmenter" / "latest_segmenter.pth")
        opt.feature_network = "hed" if hed_path().is_file() else None
        networks = build_metric_networks(opt, model.device)
        scores = {}
        for phase, labels in PHASES.items():
            opt.labels = str(self.source / labels)
            batches = held_out(opt, phase)
            maps = LabelMaps(opt, networks.segmentation, batches.dataset)
            metrics = SetMetrics(METRICS, networks, self.references.get(phase))
            scores[phase] = model.validate(batches, metrics, maps)
            self.references[phase] = np.concatenate(metrics.reference)
        return scores


def main():
    """Run the study, and print the summary of all results."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataroot", required=True, help="folder of CamVid: train, trainannot, val, valannot")
    add("--work", required=True, help="folder of trainings and results")
    add("--netG", default="unet_128")
    add("--norm", default="instance")
    add("--ngf", type=integer(1, 65536), default=32)
    add("--size", type=SIDE, default=128, help="height and width of the images")
    add("--batch_size", type=integer(1, 65536), default=4)
    add("--label_ratio", type=number(above=0, at_most=1), default=0.25)
    add("--seeds", type=SEED, nargs="+", default=[0, 1])
    add("--minutes", type=number(above=0), nargs=2, default=[10.0, 10.0], help="of stage 1 and of stage 2")
    add("--original_minutes", type=number(0), default=0.0,
        help="of the original and of the reference; 0: the supernet starts from scratch (default)")
    add("--segmenter_minutes", type=number(above=0), default=10.0)
    add("--flags", default="--amp bf16 --channels_last", help="flags of every training")
    add("--search_flags", default="--population 16 --generations 4 --search_images 16 --amp bf16",
        help="flags of the search")
    add("--variants", nargs="*", choices=tuple(VARIANTS), default=[],
        help="variants of ablation_variants.json, in order")
    add("--variant", nargs=3, action="append", default=[], metavar=("NAME", "STAGE_1", "STAGE_2"),
        help="a further variant: its name, and its flags of both stages")
    add("--report", action="store_true", help="train nothing, only print the results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(args)
    variants = [(name, *VARIANTS[name]) for name in args.variants] + args.variant
    with contextlib.redirect_stdout(sys.stderr):
        if variants and not args.report:
            study.prepare()
        for seed in args.seeds:
            for name, stage_1, stage_2 in variants if not args.report else ():
                print(f"=== {study.setting}, variant {name}, seed {seed}")
                study.run(name, stage_1, stage_2, seed)
    print(json.dumps(report(study.work / "results"), indent=1))


if __name__ == "__main__":
    run_main(main)

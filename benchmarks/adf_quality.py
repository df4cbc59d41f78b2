"""Measure how well the rules of the Adaptive Data Filter rank fake labels during a distillation; prints JSON.

    python benchmarks/adf_quality.py --supernet camvid_supernet --measure 1 2 4 8

Trains as train.py --model ugc_distill does, whose other flags are accepted too, but saves nothing. After each
epoch in --measure (0 is the start), every rule scores the teachers' fake labels of unlabeled inputs. Their
true quality is the similarity to the targets of these inputs, which the training does not open and only this
script reads. For each rule, teacher, and measure of quality:

- spearman: rank correlation of score and quality, from -1 to 1.
- kept, dropped: mean quality of the best --adf_keep of the images by score, and of the others.

Quality is -L1, SSIM, and minus the perceptual distances whose weights are on disk (hed-vgg16, which
scripts/fetch_hed.py fetches, and LPIPS), so higher is better.
"""
import argparse
import contextlib
import copy
import json
import sys
from functools import partial
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch.utils.data import default_collate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.distill.filter import FILTERS, ConsistencyFilter
from compression.distill.hed import HED_NAME
from compression.distill.ssim import ssim
from compression.metrics.hed_distance import HEDDistance
from compression.metrics.perceptual_distance import PerceptualDistance
from compression.runtime.numbers import integer
from data import create_dataset
from data.held_out import evenly_spaced, held_out
from models import create_model
from options.train_options import TrainOptions
from options.ugc_options import filter_settings_from, sides
from util.entry import kept_rng, run_main, seed_everything


def quality_measures(device):
    """Return the measures of quality by name: (images, targets) -> (N,), higher is better."""
    measures = {"-L1": lambda image, target: -(image - target).abs().mean((1, 2, 3)), "SSIM": ssim}
    for name, kind in ((HED_NAME, HEDDistance), ("LPIPS", PerceptualDistance)):
        with contextlib.suppress(ValueError):  # no weights on disk
            measures[f"-{name}"] = partial(negative, kind(device))
    return measures


def negative(distance, image, target):
    """Compute a quality from a distance."""
    return -distance(image, target)


class HiddenTargets:
    """Whole unlabeled inputs with the targets that training does not open, together with labeled pairs.

    Args:
        opt: the options of the distillation.
        dataset: its data set, which has split the pairs.
        limit: maximum number of unlabeled inputs; they are evenly spaced.

    Raises:
        ValueError: if fewer than three unlabeled inputs have a target.
    """

    def __init__(self, opt, dataset, limit):
        if len(dataset.unlabeled) < 3:
            raise ValueError(f"--label_ratio {opt.label_ratio} and --unlabeled {opt.unlabeled} leave "
                             f"{len(dataset.unlabeled)} unlabeled inputs with a target; at least 3 are "
                             "needed")
        self.pairs = held_out(opt, "train").dataset
        self.batch_size = opt.batch_size
        self.sides = sides(opt)
        self.labeled = dataset.labeled
        self.unlabeled = [dataset.unlabeled[i] for i in evenly_spaced(len(dataset.unlabeled), limit)]

    def __iter__(self):
        """Yield batches as in training, and the targets of their unlabeled inputs."""
        source, target = self.sides
        for start in range(0, len(self.unlabeled), self.batch_size):
            chosen = self.unlabeled[start:start + self.batch_size]
            labeled = [self.labeled[(start + i) % len(self.labeled)] for i in range(len(chosen))]
            batch = default_collate([self.pairs[index] for index in labeled])
            hidden = default_collate([self.pairs[index] for index in chosen])
            yield {**batch, "unlabeled": hidden[source]}, hidden[target]


@torch.no_grad()
def measure(model, hidden, measures):
    """Compute the scores of all rules and the true qualities of the teachers' fake labels.

    Returns:
        rule -> teacher -> scores, and measure -> teacher -> qualities; lists over the images.
    """
    settings = filter_settings_from(model.opt)
    rules = {kind: rule(model.teachers, settings) for kind, rule in FILTERS.items()
             if kind != "off" and len(model.teachers) >= rule.min_teachers}
    model = copy.copy(model)  # with the same networks
    model.filter = ConsistencyFilter(model.teachers, settings)  # it also needs the flipped inputs
    model.augment = lambda pairs: pairs
    scores = {kind: {name: [] for name in model.teachers} for kind in rules}
    qualities = {kind: {name: [] for name in model.teachers} for kind in measures}
    for batch, targets in hidden:
        model.set_input(batch)
        labels = {name: label.unlabeled(len(model.condition))
                  for name, label in model.fake_labels(None).items()}
        for kind, rule in rules.items():
            for name, score in rule.scores(labels).items():
                scores[kind][name] += score.tolist()
        for kind, quality in measures.items():
            for name, label in labels.items():
                qualities[kind][name] += quality(label.images, model.to_device(targets)).tolist()
    return scores, qualities


def compare(scores, qualities, keep):
    """Compare scores with qualities (lists over the images): rank correlation, mean kept and dropped."""
    kept = max(1, min(len(scores) - 1, round(keep * len(scores))))
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    best, rest = ([qualities[i] for i in part] for part in (order[:kept], order[kept:]))
    return {"spearman": round(float(spearmanr(scores, qualities).statistic), 3),
            "kept": round(sum(best) / len(best), 4), "dropped": round(sum(rest) / len(rest), 4)}


def report(scores, qualities, keep):
    """Compare every rule with every measure, for each teacher."""
    return {rule: {name: {kind: compare(values, by_teacher[name], keep)
                          for kind, by_teacher in qualities.items()}
                   for name, values in teachers.items()}
            for rule, teachers in scores.items()}


def train_epoch(model, dataset, epoch):
    """Train for one epoch."""
    dataset.dataloader.generator = torch.Generator().manual_seed(epoch)
    dataset.set_epoch(epoch)
    for batch in dataset:
        model.train_step(batch)
    model.update_learning_rate()


def main():
    """Train, measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", type=integer(0), nargs="+", default=[1, 2, 4],
                        help="epochs after which the rules are measured")
    parser.add_argument("--images", type=integer(3), default=128, help="number of unlabeled inputs")
    args, flags = parser.parse_known_args()
    with contextlib.redirect_stdout(sys.stderr):
        opt = TrainOptions().parse(["--model", "ugc_distill", "--name", "adf_quality", *flags])
        seed_everything(opt.seed)
        dataset = create_dataset(opt)
        hidden = HiddenTargets(opt, dataset.dataset, args.images)
        model = create_model(opt)
        model.setup(opt)
        measures = quality_measures(model.device)
        rows = []
        for epoch in range(max(args.measure) + 1):
            if epoch:
                train_epoch(model, dataset, epoch)
            if epoch in args.measure:
                with kept_rng():
                    rules = report(*measure(model, hidden, measures), opt.adf_keep)
                accepted = {name: round(float(share), 3) for name, share in model.filter.acceptance.items()}
                rows.append({"epoch": epoch, "accepted": accepted, "rules": rules})
    print(json.dumps({"flags": flags, "adf": opt.adf, "keep": opt.adf_keep,
                      "images": len(hidden.unlabeled), "epochs": rows}, indent=1))


if __name__ == "__main__":
    run_main(main)

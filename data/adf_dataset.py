"""Labelled pairs and unlabelled inputs out of any paired data set (UGC's semi-supervised setting)."""
import copy
import math
import os
import sys

import numpy as np
import torch

from options import original_options, ugc_options
from options.earlier_runs import inherit

from . import find_dataset_using_name
from .base_dataset import BaseDataset

_UNPAIRED = ("adf", "single", "unaligned")  # data sets that have no pairs to split
# an upstream checkout's loader tells its data sets no epochs: there the smaller set is drawn from at random
_EPOCHS = hasattr(BaseDataset, "set_epoch")
_STRETCHES = 20  # runs of neighbouring files that --split_by stretch keeps together


class AdfDataset(BaseDataset):
    """Wraps the data set of ``--base_dataset_mode``; an item is a labelled pair and, beside it, an unlabelled input.

    ``{"A", "B", "A_paths", "B_paths", "unlabeled", "unlabeled_paths"}``: the pair as the base data set has it, and the
    input side of another item (A, or B with ``--direction BtoA``). Without unlabelled inputs (``--label_ratio 1``,
    ``--unlabeled none``) the last two are not there. An epoch passes over the larger of both sets; the smaller one
    starts again, each pass in a new order that is a function of seed and epoch.

    The target of an unlabelled item is never opened where the base data set can serve an input alone: it then has
    ``input_item(index)`` and ``check(indices, inputs_only)``. Where input and target share one file, only the input's
    part of it is used. A base data set without ``input_item``, as upstream's, loads the pair and its target is dropped.

    Outside training it serves the whole phase as the base data set does.
    """

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the labels' flags, and those of the base data set."""
        preset = parser.get_default("base_dataset_mode")
        arguments = getattr(parser, "arguments", None)  # what is being parsed, if it is not the command line
        arguments = [a for a in (sys.argv[1:] if arguments is None else arguments) if a not in ("-h", "--help")]
        dataroot = parser.parse_known_args(arguments)[0].dataroot
        parser.add_argument("--base_dataset_mode", type=str, default=preset or ("aligned" if dataroot else "toy"),
                            help="the paired data set that is split into labelled pairs and unlabelled inputs")
        ugc_options.add_label_options(parser)
        mode = parser.parse_known_args(arguments)[0].base_dataset_mode
        parser = _base_class(mode).modify_commandline_options(parser, is_train)
        original_options.know_restored(parser)  # what a checkpoint is weighs more than what a data set would like
        return inherit(parser, is_train)

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        self.labels = ugc_options.labels_from(opt)
        self.base = _base_class(opt.base_dataset_mode)(opt)
        self.extra = None
        self.labelled, self.unlabelled = list(range(len(self.base))), []
        if opt.isTrain:
            self.labelled, self.unlabelled = split(len(self.base), self.labels)
            self.extra = _input_folder(opt) if self.labels.unlabeled_dir else None
        self.n_unlabelled = len(self.unlabelled) + (len(self.extra) if self.extra else 0)
        self.set_epoch(0)

    def __len__(self):
        return max(len(self.labelled), self.n_unlabelled)

    def __getitem__(self, index):
        labelled, unlabelled = self.partners(index)
        item = dict(self.base[self.labelled[labelled]])
        if "A" not in item or "B" not in item:
            raise ValueError(f"--base_dataset_mode {self.opt.base_dataset_mode} yields {', '.join(item)}; wanted a "
                             "paired data set, with A and B")
        if self.n_unlabelled:
            item["unlabeled"], item["unlabeled_paths"] = self.unlabelled_input(unlabelled)
        return item

    def partners(self, index):
        """Which labelled pair and which unlabelled input (None without any) meet in an item."""
        if _EPOCHS or self.opt.serial_batches or not self.opt.isTrain:
            return self.labelled_order[index], self.unlabelled_order[index] if self.n_unlabelled else None
        return tuple(index if count == len(self) else int(torch.randint(count, ())) if count else None
                     for count in (len(self.labelled), self.n_unlabelled))

    def unlabelled_input(self, k):
        """The k-th unlabelled input, (C, H, W), and its path; those of ``--unlabeled_dir`` come last."""
        if k >= len(self.unlabelled):
            item = self.extra[k - len(self.unlabelled)]
            return item["A"], item["A_paths"]
        side = "A" if self.opt.direction == "AtoB" else "B"
        load = getattr(self.base, "input_item", self.base.__getitem__)
        item = load(self.unlabelled[k])
        return item[side], item[f"{side}_paths"]

    def set_epoch(self, epoch):
        """Choose the orders of an epoch, which items meet in it, and its augmentations."""
        self.epoch = epoch
        for dataset in (self.base, self.extra):
            if hasattr(dataset, "set_epoch"):
                dataset.set_epoch(epoch)
        self.labelled_order = self._order(len(self.labelled), 0)
        self.unlabelled_order = self._order(self.n_unlabelled, 1)

    def _order(self, count, stream):
        """Passes over `count` items until every index has one; in order for serial batches and outside training."""
        if not count:
            return []
        passes = math.ceil(len(self) / count)
        if self.opt.serial_batches or not self.opt.isTrain:
            orders = [np.arange(count)] * passes
        else:
            rng = np.random.default_rng((self.labels.seed, self.epoch, stream))
            orders = [rng.permutation(count) for _ in range(passes)]
        return np.concatenate(orders)[:len(self)].tolist()

    def check(self):
        """Check the base data set's files, but no target of an unlabelled item, and those of ``--unlabeled_dir``."""
        from .check import Found  # not in an upstream checkout, which checks nothing

        found = Found(remarks=[f"labelled pairs: {len(self.labelled)}, unlabelled inputs: {self.n_unlabelled}; targets of the "
                               "latter are not opened"])
        if hasattr(self.base, "input_item"):
            found += self.base.check(self.labelled, self.unlabelled) or Found()
        elif hasattr(self.base, "check"):
            found += self.base.check() or Found()
        if self.extra is not None and hasattr(self.extra, "check"):
            found += self.extra.check() or Found()
        return found


def split(count, labels):
    """Indices of `count` items -> (labelled, unlabelled), both sorted.

    Splits of one seed are nested: the labelled items are the first ceil(ratio * count) of one order of all. That order
    is random, or, with ``--split_by stretch``, one of runs of neighbouring files (a twentieth of the set each).
    """
    rng = np.random.default_rng((labels.seed, 2))
    if labels.split_by == "stretch":
        stretches = np.array_split(np.arange(count), min(_STRETCHES, count))
        order = np.concatenate([stretches[k] for k in rng.permutation(len(stretches))])
    else:
        order = rng.permutation(count)
    n_labelled = math.ceil(labels.ratio * count - 1e-9)  # 0.3 * 10 is a little above 3
    unlabelled = order[n_labelled:] if labels.unlabeled == "split" else order[:0]
    return sorted(order[:n_labelled].tolist()), sorted(unlabelled.tolist())


def _base_class(mode):
    if mode in _UNPAIRED:
        raise ValueError(f"--base_dataset_mode {mode}: wanted a paired data set, such as aligned or toy")
    return find_dataset_using_name(mode)


def _input_folder(opt):
    """The images of ``--unlabeled_dir``, preprocessed like the training inputs."""
    if not os.path.isdir(opt.unlabeled_dir):
        raise ValueError(f"--unlabeled_dir: no folder {opt.unlabeled_dir}")
    opt = copy.copy(opt)
    opt.dataroot, opt.direction = opt.unlabeled_dir, "AtoB"  # its images are inputs whichever way the pairs go
    try:
        return find_dataset_using_name("single")(opt)
    except ValueError as error:
        raise ValueError(str(error).replace("--dataroot", "--unlabeled_dir")) from None

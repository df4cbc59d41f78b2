"""Labeled pairs and unlabeled inputs out of any paired data set (UGC's semi-supervised setting)."""
import copy
import math
import os

import numpy as np
import torch

from options import original_options, ugc_options
from options.precedence import inherit, parse_known

from . import find_dataset_using_name
from .base_dataset import BaseDataset

_UNPAIRED = ("adf", "single", "unaligned")  # data sets that have no pairs to split
# an upstream checkout's loader tells its data sets no epochs: there the smaller set is drawn from at random
_EPOCHS = hasattr(BaseDataset, "set_epoch")
_STRETCHES = 20  # runs of neighboring files that --split_by stretch keeps together


class AdfDataset(BaseDataset):
    """Wraps the data set of ``--base_dataset_mode``; an item is a labeled pair and, beside it, an unlabeled input.

    ``{"A", "B", "A_paths", "B_paths", "unlabeled", "unlabeled_paths"}``: the pair as the base data set has it, and the
    input side of another item (A, or B with ``--direction BtoA``). Without unlabeled inputs (``--label_ratio 1``,
    ``--unlabeled none``) the last two are not there. An epoch passes over the larger of both sets; the smaller one
    starts again, each pass in a new order that is a function of seed and epoch.

    The target of an unlabeled item is never opened where the base data set can serve an input alone: it then has
    ``input_item(index)`` and ``check(indices, inputs_only)``. Where input and target share one file, only the input's
    part of it is used. A base data set without ``input_item``, as upstream's, loads the pair and its target is dropped.

    Outside training it serves the whole phase as the base data set does.
    """

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the labels' flags, and those of the base data set."""
        preset = parser.get_default("base_dataset_mode")
        dataroot = parse_known(parser).dataroot
        parser.add_argument("--base_dataset_mode", type=str, default=preset or ("aligned" if dataroot else "toy"),
                            help="the paired data set that is split into labeled pairs and unlabeled inputs")
        ugc_options.add_label_options(parser)
        mode = parse_known(parser).base_dataset_mode
        parser = _base_class(mode).modify_commandline_options(parser, is_train)
        original_options.set_defaults_from_checkpoints(parser)  # what a checkpoint is weighs more than what a data set would like
        return inherit(parser, is_train)

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        self.labels = ugc_options.labels_from(opt)
        self.base = _base_class(opt.base_dataset_mode)(opt)
        self.extra = None
        self.labeled, self.unlabeled = list(range(len(self.base))), []
        if opt.isTrain:
            self.labeled, self.unlabeled = split(len(self.base), self.labels)
            self.extra = _input_folder(opt) if self.labels.unlabeled_dir else None
        self.n_unlabeled = len(self.unlabeled) + (len(self.extra) if self.extra else 0)
        self.set_epoch(0)

    def __len__(self):
        return max(len(self.labeled), self.n_unlabeled)

    def __getitem__(self, index):
        labeled, unlabeled = self.partners(index)
        item = dict(self.base[self.labeled[labeled]])
        if "A" not in item or "B" not in item:
            raise ValueError(f"--base_dataset_mode {self.opt.base_dataset_mode} yields {', '.join(item)}; wanted a "
                             "paired data set, with A and B")
        if self.n_unlabeled:
            item["unlabeled"], item["unlabeled_paths"] = self.unlabeled_input(unlabeled)
        return item

    def partners(self, index):
        """Which labeled pair and which unlabeled input (None without any) meet in an item."""
        if _EPOCHS or self.opt.serial_batches or not self.opt.isTrain:
            return self.labeled_order[index], self.unlabeled_order[index] if self.n_unlabeled else None
        return tuple(index if count == len(self) else int(torch.randint(count, ())) if count else None
                     for count in (len(self.labeled), self.n_unlabeled))

    def unlabeled_input(self, k):
        """The k-th unlabeled input, (C, H, W), and its path; those of ``--unlabeled_dir`` come last."""
        if k >= len(self.unlabeled):
            item = self.extra[k - len(self.unlabeled)]
            return item["A"], item["A_paths"]
        side, _ = ugc_options.sides(self.opt)
        load = getattr(self.base, "input_item", self.base.__getitem__)
        item = load(self.unlabeled[k])
        return item[side], item[f"{side}_paths"]

    def set_epoch(self, epoch):
        """Choose the orders of an epoch, which items meet in it, and its augmentations."""
        self.epoch = epoch
        for dataset in (self.base, self.extra):
            if hasattr(dataset, "set_epoch"):
                dataset.set_epoch(epoch)
        self.labeled_order = self._order(len(self.labeled), 0)
        self.unlabeled_order = self._order(self.n_unlabeled, 1)

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
        """Check the base data set's files, but no target of an unlabeled item, and those of ``--unlabeled_dir``."""
        from .check import CheckReport  # not in an upstream checkout, which checks nothing

        found = CheckReport(remarks=[f"labeled pairs: {len(self.labeled)}, unlabeled inputs: {self.n_unlabeled}; targets of the "
                               "latter are not opened"])
        if hasattr(self.base, "input_item"):
            found += self.base.check(self.labeled, self.unlabeled) or CheckReport()
        elif hasattr(self.base, "check"):
            found += self.base.check() or CheckReport()
        if self.extra is not None and hasattr(self.extra, "check"):
            found += self.extra.check() or CheckReport()
        return found


def split(count, labels):
    """Indices of `count` items -> (labeled, unlabeled), both sorted.

    Splits of one seed are nested: the labeled items are the first ceil(ratio * count) of one order of all. That order
    is random, or, with ``--split_by stretch``, one of runs of neighboring files (a twentieth of the set each).
    """
    rng = np.random.default_rng((labels.seed, 2))
    if labels.split_by == "stretch":
        stretches = np.array_split(np.arange(count), min(_STRETCHES, count))
        order = np.concatenate([stretches[k] for k in rng.permutation(len(stretches))])
    else:
        order = rng.permutation(count)
    n_labeled = math.ceil(labels.ratio * count - 1e-9)  # 0.3 * 10 is a little above 3
    unlabeled = order[n_labeled:] if labels.unlabeled == "split" else order[:0]
    return sorted(order[:n_labeled].tolist()), sorted(unlabeled.tolist())


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

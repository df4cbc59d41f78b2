"""The semi-supervised setting of UGC: split a paired data set into labeled pairs and unlabeled inputs."""
import copy
import math
import os

import numpy as np
import torch

from options import original_options, ugc_options
from options.precedence import inherit, parse_known

from . import find_dataset_using_name
from .base_dataset import BaseDataset
from .label_split import LabelSplit, split

_UNPAIRED = ("adf", "single", "unaligned")  # data sets without pairs to split
# The loader of an upstream checkout does not announce epochs.
_HOST_SETS_EPOCHS = hasattr(BaseDataset, "set_epoch")


class AdfDataset(BaseDataset):
    """A paired data set (``--base_dataset_mode``) of which only a part is labeled.

    In training, an item has a labeled pair and an unlabeled input:

    - ``A``, ``B``, ``A_paths``, ``B_paths``: the pair, as the base data set returns it.
    - ``unlabeled``, ``unlabeled_paths``: the input of another item (side A, or B with ``--direction BtoA``),
      or an image of ``--unlabeled_dir``. Both keys are missing if there are no unlabeled inputs.

    An epoch goes through the larger of the two sets once and repeats the smaller one. Each pass has a new
    random order and new augmentations, functions of seed, epoch, and pass. What ``--search_split`` holds out
    is in no item. Outside training, the pairs of the phase are returned in order.

    The target of an unlabeled input is never opened if the base data set has the methods
    ``input_item(index)``, which loads only the input, and ``check(indices, inputs_only)``. If input and
    target share a file, only the input half is used. Upstream's data sets lack these methods; their pair is
    loaded and its target dropped.

    Attributes:
        base: the paired data set.
        split: the :class:`data.label_split.LabelSplit` of `base`.
        labeled: indices of the labeled pairs in `base` that are items.
        unlabeled: indices of the unlabeled inputs in `base` that are items.
        unlabeled_folder: the data set of ``--unlabeled_dir``, or None.
        n_unlabeled: number of unlabeled inputs from both sources.
    """

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the flags of the labels and those of the base data set."""
        default_mode = parser.get_default("base_dataset_mode")
        if not default_mode:
            default_mode = "aligned" if parse_known(parser).dataroot else "toy"
        parser.add_argument("--base_dataset_mode", type=str, default=default_mode,
                            help="the paired data set that is split into labeled pairs and unlabeled inputs")
        ugc_options.add_label_options(parser)
        base_class = _find_paired_dataset(parse_known(parser).base_dataset_mode)
        parser = base_class.modify_commandline_options(parser, is_train)
        # last, because the settings of a checkpoint override the defaults of a data set
        original_options.set_defaults_from_checkpoints(parser)
        return inherit(parser, is_train)

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        self.labels = ugc_options.labels_from(opt)
        self.base = _find_paired_dataset(opt.base_dataset_mode)(opt)
        self.split = LabelSplit(list(range(len(self.base))), [], [], [])
        if opt.isTrain:
            self.split = split(len(self.base), self.labels)
        self.labeled, self.unlabeled = self.split.labeled, self.split.unlabeled
        self.unlabeled_folder = None
        self.n_unlabeled = len(self.unlabeled)
        if opt.isTrain and self.labels.unlabeled_dir:
            self.unlabeled_folder = _build_unlabeled_folder(opt)
            self.n_unlabeled += len(self.unlabeled_folder)
        for dataset in (self.base, self.unlabeled_folder):
            if hasattr(dataset, "cache"):  # not in an upstream checkout
                dataset.cache.budget = self.cache.budget
        self.set_epoch(0)

    def __len__(self):
        return max(len(self.labeled), self.n_unlabeled)

    def __getitem__(self, index):
        k_labeled, k_unlabeled = self.partners(index)
        self.set_repetition(index // len(self.labeled))
        item = dict(self.base[self.labeled[k_labeled]])
        if "A" not in item or "B" not in item:
            raise ValueError(f"--base_dataset_mode {self.opt.base_dataset_mode} returns items with "
                             f"{', '.join(item)}; choose a paired data set, whose items have A and B")
        if k_unlabeled is not None:
            self.set_repetition(index // self.n_unlabeled)
            item["unlabeled"], item["unlabeled_paths"] = self.unlabeled_input(k_unlabeled)
            self._require_equal_sizes(item)
        return item

    def _require_equal_sizes(self, item):
        """Raise a ValueError if the unlabeled input has another size, because both form a batch."""
        side, _ = ugc_options.sides(self.opt)
        size, other_size = item[side].shape[-2:], item["unlabeled"].shape[-2:]
        if size != other_size:
            raise ValueError(f"{item['unlabeled_paths']}: after --preprocess {self.opt.preprocess} it is "
                             f"{other_size[1]}x{other_size[0]}, but the labeled {item[f'{side}_paths']} is "
                             f"{size[1]}x{size[0]} (width x height); labeled and unlabeled inputs need one "
                             "size: use --preprocess resize_and_crop, or crop")

    def item_paths(self):
        """List the paths of the inputs of the base data set."""
        return self.base.item_paths()

    def input_paths(self):
        """List the paths of the inputs of the base data set and of ``--unlabeled_dir``."""
        unlabeled = self.unlabeled_folder.item_paths() if self.unlabeled_folder else []
        return [*self.base.item_paths(), *unlabeled]

    def item_names(self):
        """List the names of the items of the base data set."""
        return self.base.item_names()

    def describe_count(self):
        """Describe the numbers of labeled pairs and unlabeled inputs for the user."""
        labeled = len(self.labeled)
        return (f"{labeled + self.n_unlabeled} ({labeled} labeled pairs, {self.n_unlabeled} unlabeled "
                f"inputs; an epoch has {len(self)} items{self._describe_held_out()})")

    def _describe_held_out(self):
        """Describe what ``--search_split`` holds out, as the end of a text."""
        if not self.labels.search_split:
            return ""
        pairs, inputs = len(self.split.held_out_labeled), len(self.split.held_out_unlabeled)
        return (f"; --search_split {self.labels.search_split:g} holds out {pairs} labeled pairs and {inputs} "
                f"unlabeled inputs, so {len(self.labeled) + pairs} labels are used")

    @property
    def in_order(self):
        """Whether items are returned in the order of the files."""
        return self.opt.serial_batches or not self.opt.isTrain

    def partners(self, index):
        """Choose the labeled pair and the unlabeled input of item `index`.

        Returns:
            The number of the pair and the number of the input, each counted within its set. The latter is
            None if there are no unlabeled inputs.
        """
        if _HOST_SETS_EPOCHS or self.in_order:
            k_labeled = self.labeled_order[index]
            k_unlabeled = self.unlabeled_order[index] if self.n_unlabeled else None
        else:
            k_labeled = self._partner_without_epochs(index, len(self.labeled))
            k_unlabeled = self._partner_without_epochs(index, self.n_unlabeled) if self.n_unlabeled else None
        return k_labeled, k_unlabeled

    def _partner_without_epochs(self, index, count):
        """Choose from a set of `count` items: number `index` if it is the larger set, else a random one."""
        return index if count == len(self) else int(torch.randint(count, ()))

    def unlabeled_input(self, k):
        """Load unlabeled input k; those of ``--unlabeled_dir`` come after those of the base data set.

        Returns:
            The input, (C, H, W), and its path.
        """
        if k >= len(self.unlabeled):
            item = self.unlabeled_folder[k - len(self.unlabeled)]
            return item["A"], item["A_paths"]
        input_side, _ = ugc_options.sides(self.opt)
        load = getattr(self.base, "input_item", self.base.__getitem__)
        item = load(self.unlabeled[k])
        return item[input_side], item[f"{input_side}_paths"]

    def set_epoch(self, epoch):
        """Choose the orders of an epoch, which decide the partners, and its augmentations."""
        self.epoch = epoch
        for dataset in (self.base, self.unlabeled_folder):
            if hasattr(dataset, "set_epoch"):
                dataset.set_epoch(epoch)
        self.labeled_order = self._order(len(self.labeled), stream=0)
        self.unlabeled_order = self._order(self.n_unlabeled, stream=1)

    def set_repetition(self, repetition):
        """Choose other augmentations for each pass over a set that an epoch goes through several times."""
        for dataset in (self.base, self.unlabeled_folder):
            if hasattr(dataset, "set_repetition"):  # upstream's data sets have random augmentations
                dataset.set_repetition(repetition)

    def _order(self, count, stream):
        """Fill an epoch with passes over `count` items, each in a new random order.

        Args:
            count: number of items in the set.
            stream: number of the random stream. It makes the orders of the two sets independent.

        Returns:
            A list of ``len(self)`` item numbers; empty if `count` is 0.
        """
        if not count:
            return []
        n_passes = math.ceil(len(self) / count)
        if self.in_order:
            passes = [np.arange(count)] * n_passes
        else:
            rng = np.random.default_rng((self.opt.seed, self.epoch, stream))
            passes = [rng.permutation(count) for _ in range(n_passes)]
        return np.concatenate(passes)[:len(self)].tolist()

    def check(self):
        """Check the files of both sets, but not the targets of unlabeled inputs.

        Returns:
            A :class:`data.check.CheckReport`.

        Raises:
            ValueError: if files are unusable. The message lists them.
        """
        from .check import CheckReport  # an upstream checkout has no such module and does not check

        counts = f"labeled pairs: {len(self.labeled)}, unlabeled inputs: {self.n_unlabeled}"
        details = f"{counts}; targets of the latter are not opened{self._describe_held_out()}"
        report = CheckReport(details=[details])
        if hasattr(self.base, "input_item"):
            pairs = [*self.labeled, *self.split.held_out_labeled]
            inputs = [*self.unlabeled, *self.split.held_out_unlabeled]
            report += self.base.check(pairs, inputs) or CheckReport()
        elif hasattr(self.base, "check"):
            report += self.base.check() or CheckReport()
        if hasattr(self.unlabeled_folder, "check"):
            report += self.unlabeled_folder.check() or CheckReport()
        return report


def _find_paired_dataset(mode):
    """Find the class of ``--base_dataset_mode``; a ValueError if it has no pairs."""
    if mode in _UNPAIRED:
        raise ValueError(f"--base_dataset_mode {mode} has no pairs; choose a paired data set, such as "
                         "aligned or toy")
    return find_dataset_using_name(mode)


def _build_unlabeled_folder(opt):
    """Build the data set of ``--unlabeled_dir``, whose images are preprocessed like the training inputs."""
    if not os.path.isdir(opt.unlabeled_dir):
        raise ValueError(f"--unlabeled_dir: {opt.unlabeled_dir} is not a folder")
    opt = copy.copy(opt)
    opt.dataroot = opt.unlabeled_dir
    opt.direction = "AtoB"  # its images are inputs in both directions
    find_single = find_dataset_using_name("single")
    if _HOST_SETS_EPOCHS:
        opt.input_instance = getattr(opt, "unlabeled_instance_dir", None)
        return find_single(opt, "--unlabeled_dir", "--unlabeled_instance_dir")
    if getattr(opt, "label_nc", 0):
        raise ValueError("--unlabeled_dir: the data sets of this checkout read photos, but --label_nc "
                         f"{opt.label_nc} needs label maps; train in the repository of UGC, or use the "
                         "unlabeled inputs of --label_ratio")
    return find_single(opt)

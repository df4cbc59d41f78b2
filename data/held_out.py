"""Load whole images of a phase, or of a part of the training set, to score and calibrate networks."""
import copy
import math
from pathlib import Path

from torch import Tensor
from torch.utils.data import default_collate

from options.earlier_runs import training_folders
from options.search_split import SEARCH_SPLIT, training_images
from options.ugc_options import labels_from, sides
from options.whole_images import whole_images

from . import create_dataset
from .label_split import split


class HeldOut:
    """Batches of items of equal size. Where all items have the same size, they are in order.

    Args:
        dataset: the data set.
        indices: the items.
        batch_size: maximum number of items in a batch.
        inputs_only: whether the batches hold only the inputs and their paths.
    """

    def __init__(self, dataset, indices, batch_size, inputs_only=False):
        self.dataset = dataset
        self.indices = indices
        self.batch_size = batch_size
        self.inputs_only = inputs_only

    def __len__(self):
        """The number of items."""
        return len(self.indices)

    def __iter__(self):
        incomplete = {}
        for index in self.indices:
            item = self.item(index)
            shapes = tuple(value.shape for value in item.values() if isinstance(value, Tensor))
            batch = incomplete.setdefault(shapes, [])
            batch.append(item)
            if len(batch) == self.batch_size:
                yield default_collate(incomplete.pop(shapes))
        for batch in incomplete.values():
            yield default_collate(batch)

    def item(self, index):
        """Load an item, or only its input; upstream's data sets cannot leave the target unopened."""
        if not self.inputs_only:
            return self.dataset[index]
        side, _ = sides(self.dataset.opt)
        item = getattr(self.dataset, "input_item", self.dataset.__getitem__)(index)
        return {key: item[key] for key in (side, f"{side}_paths")}


def missing_phase(opt, reason):
    """Describe which phases ``--dataroot`` has, if ``--phase`` has no images."""
    root = Path(opt.dataroot or ".")
    phases = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return (f"--phase {opt.phase}: {reason}; {root} has {', '.join(phases) or 'no folders'}; select another "
            "phase with --phase")


def held_out(opt, phase, limit=float("inf"), batch_size=None, inputs_only=False):
    """Load a phase of the paired data set: whole images at the scale of training, without flips.

    Args:
        opt: the options of the run. Those of a training are adapted (:func:`whole_images`); the parser has
            already adapted those of the other entry points.
        phase: the phase; ``SEARCH_SPLIT`` are the images that ``--search_split`` holds out of training, with
            `inputs_only` also those without labels.
        limit: maximum number of images, see :func:`evenly_spaced`.
        batch_size: maximum size of a batch; None is ``--batch_size``.
        inputs_only: whether the batches hold only inputs.

    Returns:
        A :class:`HeldOut`, which may be empty for ``SEARCH_SPLIT``.

    Raises:
        ValueError: if the data set has no targets, `limit` is below 1, or the training holds nothing out.
    """
    if limit < 1:
        raise ValueError(f"at least one image of --phase {phase} is needed, got {limit}")
    if phase == SEARCH_SPLIT:
        if not getattr(opt, "search_split", 0):
            raise ValueError(f"phase {SEARCH_SPLIT}: the training of {opt.name} holds out no images "
                             "(--search_split 0, or a data set other than adf); select a phase of the data "
                             "set, such as val")
        dataset = _whole_images(opt)
        parts = split(len(dataset), labels_from(opt))
        items = sorted([*parts.held_out_labeled, *(parts.held_out_unlabeled if inputs_only else [])])
    else:
        dataset = _whole_images(opt, phase)
        items = range(len(dataset))
    return _evenly_spaced_items(dataset, items, limit, batch_size or opt.batch_size, inputs_only)


def training_inputs(opt, limit, batch_size):
    """Load inputs that a run is trained with, as whole images, for the calibration of its networks.

    Args:
        opt: the options of a stage that runs on the results of a training.
        limit: maximum number of inputs, see :func:`evenly_spaced`.
        batch_size: maximum size of a batch.

    Returns:
        A :class:`HeldOut` with inputs only.
    """
    dataset = _whole_images(opt)
    items = range(len(dataset))
    if hasattr(opt, "label_ratio"):
        parts = split(len(dataset), labels_from(opt))
        items = sorted([*parts.labeled, *parts.unlabeled])
    return _evenly_spaced_items(dataset, items, limit, batch_size, inputs_only=True)


def usual_training_size(opt):
    """Return the most frequent (height, width) of the whole images of a training set, in pixels."""
    return usual_size(_whole_images(opt))


def usual_size(dataset):
    """Return the most frequent (height, width) of the inputs of a data set of whole images, in pixels."""
    sizes = getattr(dataset, "item_sizes", None)  # (width, height), which upstream's data sets do not know
    if sizes:
        width, height = max(sizes, key=sizes.get)
        return height, width
    side, _ = sides(dataset.opt)
    return tuple(dataset[len(dataset) // 2][side].shape[-2:])


def _evenly_spaced_items(dataset, items, limit, batch_size, inputs_only):
    """Build the batches of up to `limit` of the items."""
    chosen = [items[i] for i in evenly_spaced(len(items), limit)]
    return HeldOut(dataset, chosen, batch_size, inputs_only)


def _whole_images(opt, phase=None):
    """Build the paired data set of a phase with whole images; without a phase, that of the training.

    Raises:
        ValueError: if the data set has no targets, or the phase no images.
    """
    adapted = whole_images(opt) if opt.isTrain else {}
    adapted |= {"training_folders": training_folders(opt), "phase": phase, "max_dataset_size": float("inf")}
    if phase is None:
        adapted |= training_images(opt)
    if phase in (None, "train") and getattr(opt, "phase", phase) != phase:  # search.py may have got others
        adapted |= adapted["training_folders"]
    opt = copy.copy(opt)
    vars(opt).update(adapted)
    opt.isTrain = False
    opt.dataset_mode = getattr(opt, "base_dataset_mode", opt.dataset_mode)
    opt.serial_batches = True
    opt.no_flip = True
    opt.num_threads = 0
    if opt.dataset_mode in ("adf", "single"):
        raise ValueError(f"--dataset_mode {opt.dataset_mode} has no ground truths to compare with")
    try:
        dataset = create_dataset(opt).dataset
    except AssertionError as error:  # of the data sets of an upstream checkout
        raise ValueError(missing_phase(opt, error)) from None
    if not len(dataset):
        raise ValueError(missing_phase(opt, "there are no images"))
    return dataset


def require_images(opt, images, needed, flag, phase_flag, limit_flag):
    """Check that there are enough images to compare networks on.

    Args:
        opt: the options of the run.
        images: a :class:`HeldOut`.
        needed: the least number of images.
        flag: what needs them, for the message.
        phase_flag: the flag of their phase, for the message.
        limit_flag: the flag of their maximum number.

    Raises:
        ValueError: if there are fewer.
    """
    if len(images) >= needed:
        return
    noun = "input" if images.inputs_only else "labeled pair"
    message = f"{flag} needs at least {needed} {noun}{'s' if needed > 1 else ''}, but"
    if getattr(opt, limit_flag) < needed:
        raise ValueError(f"{message} --{limit_flag} is {getattr(opt, limit_flag)}; raise it")
    phase = getattr(opt, phase_flag)
    if phase != SEARCH_SPLIT:
        raise ValueError(f"{message} --{phase_flag} {phase} has {len(images)}; use more images, or another "
                         "phase")
    parts = split(len(images.dataset), labels_from(opt))
    total = len(parts.labeled) + len(parts.held_out_labeled)
    if images.inputs_only:
        total = max(total, len(parts.unlabeled) + len(parts.held_out_unlabeled))
    remedy = "use more images"
    if needed < total:
        share = math.ceil(100 * (needed - 0.5) / total) / 100
        remedy = f"train with --search_split {share:g} or more"
    raise ValueError(f"{message} --search_split {opt.search_split:g} holds out {len(images)} of {total}; "
                     f"{remedy}, or select a phase of the data set (--{phase_flag} val)")


def evenly_spaced(count, limit):
    """Choose up to `limit` of `count` items at equal distances, because neighboring files often look alike.

    Returns:
        Ascending indices: the middle item of each of `limit` equal parts, or all items.
    """
    chosen = int(min(count, limit))
    return [(2 * i + 1) * count // (2 * chosen) for i in range(chosen)]

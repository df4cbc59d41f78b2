"""Load the whole images of a phase, on which networks are scored and calibrated."""
import copy
from pathlib import Path

from torch import Tensor
from torch.utils.data import default_collate

from options.earlier_runs import training_folders
from options.whole_images import whole_images

from . import create_dataset


class HeldOut:
    """Batches of items of equal size. Where all items have the same size, they are in order.

    Args:
        dataset: the data set.
        indices: the items.
        batch_size: maximum number of items in a batch.
    """

    def __init__(self, dataset, indices, batch_size):
        self.dataset = dataset
        self.indices = indices
        self.batch_size = batch_size

    def __len__(self):
        """The number of items."""
        return len(self.indices)

    def __iter__(self):
        incomplete = {}
        for index in self.indices:
            item = self.dataset[index]
            shapes = tuple(value.shape for value in item.values() if isinstance(value, Tensor))
            batch = incomplete.setdefault(shapes, [])
            batch.append(item)
            if len(batch) == self.batch_size:
                yield default_collate(incomplete.pop(shapes))
        for batch in incomplete.values():
            yield default_collate(batch)


def missing_phase(opt, reason):
    """Describe which phases ``--dataroot`` has, if ``--phase`` has no images."""
    root = Path(opt.dataroot or ".")
    phases = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return (f"--phase {opt.phase}: {reason}; {root} has {', '.join(phases) or 'no folders'}; select another "
            "phase with --phase")


def held_out(opt, phase, limit=float("inf"), batch_size=None):
    """Load a phase of the paired data set: whole images at the scale of training, without flips.

    Args:
        opt: the options of the run. Those of a training are adapted (:func:`whole_images`); the parser has
            already adapted those of the other entry points.
        phase: the phase.
        limit: maximum number of images, see :func:`evenly_spaced`.
        batch_size: maximum size of a batch; None is ``--batch_size``.

    Returns:
        A :class:`HeldOut`.

    Raises:
        ValueError: if the data set has no targets, or `limit` is below 1.
    """
    if limit < 1:
        raise ValueError(f"at least one image of --phase {phase} is needed, got {limit}")
    adapted = whole_images(opt) if opt.isTrain else {}
    adapted["training_folders"] = training_folders(opt)
    if phase == "train" and getattr(opt, "phase", phase) != phase:  # search.py may have been given others
        adapted |= adapted["training_folders"]
    opt = copy.copy(opt)
    vars(opt).update(adapted)
    opt.phase = phase
    opt.isTrain = False
    opt.dataset_mode = getattr(opt, "base_dataset_mode", opt.dataset_mode)
    opt.max_dataset_size = float("inf")
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
    return HeldOut(dataset, evenly_spaced(len(dataset), limit), batch_size or opt.batch_size)


def evenly_spaced(count, limit):
    """Choose up to `limit` of `count` items at equal distances, because neighboring files often look alike.

    Returns:
        Ascending indices: the middle item of each of `limit` equal parts, or all items.
    """
    chosen = int(min(count, limit))
    return [(2 * i + 1) * count // (2 * chosen) for i in range(chosen)]

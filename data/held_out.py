"""Load the uncropped images of another phase, on which networks are scored and calibrated."""
import copy

from . import create_dataset


def held_out(opt, phase, limit=float("inf"), batch_size=None):
    """Build the loader of a phase of the paired data set: uncropped images, in order.

    Args:
        opt: the options of the run.
        phase: the phase.
        limit: maximum number of images.
        batch_size: of the loader; None is ``--batch_size``.

    Raises:
        ValueError: if the data set has no targets.
    """
    opt = copy.copy(opt)
    opt.phase = phase
    opt.isTrain = False
    opt.dataset_mode = getattr(opt, "base_dataset_mode", opt.dataset_mode)
    opt.max_dataset_size = limit
    opt.serial_batches = True
    opt.no_flip = True
    opt.load_size = opt.crop_size
    opt.batch_size = int(min(batch_size or opt.batch_size, limit))
    opt.num_threads = 0
    if opt.dataset_mode in ("adf", "single"):
        raise ValueError(f"--dataset_mode {opt.dataset_mode} has no ground truths to compare with")
    return create_dataset(opt)

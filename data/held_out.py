"""Whole images of another phase than the training's: what networks are scored and calibrated on."""
import copy

from . import create_dataset


def held_out(opt, phase, limit=float("inf"), batch_size=None):
    """Whole images of another phase, in order: the loader of the paired data set."""
    opt = copy.copy(opt)
    opt.phase, opt.max_dataset_size, opt.serial_batches, opt.no_flip = phase, limit, True, True
    opt.dataset_mode, opt.isTrain = getattr(opt, "base_dataset_mode", opt.dataset_mode), False
    if opt.dataset_mode in ("adf", "single"):
        raise ValueError(f"--dataset_mode {opt.dataset_mode} has no ground truths to compare with")
    opt.load_size, opt.batch_size, opt.num_threads = opt.crop_size, int(min(batch_size or opt.batch_size, limit)), 0
    return create_dataset(opt)

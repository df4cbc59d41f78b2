"""The images that the training of a run holds out, and those on which a run chooses its networks."""
from argparse import Namespace
from pathlib import Path

from compression.checkpoints.files import read_json

from .earlier_runs import saved_settings, split_of

SEARCH_SPLIT = "search_split"  # the phase that consists of the images that this flag holds out of training


def phase_to_compare(opt, phase):
    """Choose the phase on whose images networks are compared, to keep the best.

    Args:
        opt: the options of a training, or those of a stage that runs on the results of one.
        phase: the value of ``--phase`` or ``--eval_phase``; None if it is not given.

    Returns:
        `phase`, or else what the training holds out (``SEARCH_SPLIT``), or else ``val``.
    """
    return phase or (SEARCH_SPLIT if getattr(opt, "search_split", 0) else "val")


def training_images(opt):
    """Return ``phase`` and ``max_dataset_size`` of the training of a run, by name.

    Args:
        opt: the options of a training, or those of a stage that runs on the results of one.
    """
    names = {"phase": "train", "max_dataset_size": float("inf")}
    training = vars(opt) if opt.isTrain else saved_settings(Path(opt.checkpoints_dir) / opt.name)
    return {name: training.get(name, default) for name, default in names.items()}


def require_same_split(opt):
    """Check that a search holds out the images that the training of its supernet holds out.

    Raises:
        ValueError: if a flag of the split differs.
    """
    run = saved_settings(Path(opt.checkpoints_dir) / opt.name)
    own, used = split_of(vars(opt)), split_of(run)
    for name, value in used.items():
        if run and own[name] != value and (own["search_split"] or used["search_split"]):
            raise ValueError(f"--{name} {own[name]}: the training of {opt.name} used {value}, and the images "
                             "of the search are those that it has not seen; drop the flag")


def choices_on(phase, checkpoints_dir, name, epoch):
    """List what was chosen by comparing networks on images of a phase.

    Args:
        phase: the phase.
        checkpoints_dir: folder of the runs.
        name: the run.
        epoch: the checkpoint of the run that is used.

    Returns:
        Texts; empty if numbers of this phase share no images with a choice.
    """
    run = saved_settings(Path(checkpoints_dir) / name)
    choices = []
    if epoch == "best" and phase_to_compare(Namespace(**run), run.get("eval_phase")) == phase:
        choices.append("the best checkpoint")
    path = Path(checkpoints_dir) / (run.get("supernet") or name) / "search" / "student.json"
    if path.is_file() and read_json(path).get("phase", "val") == phase:  # earlier versions: val by default
        choices.append("the student")
    return choices

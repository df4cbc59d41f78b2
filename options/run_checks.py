"""Checks of the runs that a command names, before it creates or changes a file."""
import itertools
import os
from pathlib import Path

from compression.checkpoints.files import read_json
from compression.runtime.text import name_some
from util.run_folder import holds_run, network_files, state_path

from .earlier_runs import similar_run

_TOY_FLAGS = ("--dataset_mode", "--base_dataset_mode")


def check_runs(opt, name, is_train):
    """Check the run ``--name`` and, for a distillation, the run ``--supernet``.

    Args:
        opt: the options; in an upstream checkout those parsed so far.
        name: the name of the run, with its suffix.
        is_train: whether the command trains.

    Raises:
        ValueError: if training would replace a run without ``--overwrite``, or a run does not exist or is
            not of a supernet.
    """
    supernet = getattr(opt, "supernet", None)
    if supernet:
        check_supernet(opt.checkpoints_dir, supernet, "--supernet")
    if is_train:
        check_new_run(opt, name)
    elif getattr(opt, "model", None) != "exported" and not any(
            getattr(opt, flag, None) for flag in ("results", "student", "check_data")):
        check_exists(opt.checkpoints_dir, name, "--name")


def is_folder_name(name):
    """Return whether a name is that of a folder (``group/run`` is one) that stays in its parent folder.

    A name that begins with ``-`` is none: commands would take it for a flag.
    """
    parts = name.replace("\\", "/").rstrip("/").split("/")
    return not name.startswith("-") and "\0" not in name and all(parts) and not {".", ".."} & set(parts)


def check_name(name):
    """Check that ``--name`` is the name of a folder, so that a run stays in ``--checkpoints_dir``.

    Raises:
        ValueError: if it is not.
    """
    if not is_folder_name(name):
        raise ValueError(f"--name must be the name of a folder that does not begin with -, got {name!r}")


def check_exists(checkpoints_dir, name, flag):
    """Check that a run exists.

    Raises:
        ValueError: if it does not; the message suggests a run of a similar name.
    """
    if flag == "--name":
        check_name(name)
    folder = Path(checkpoints_dir)
    if (folder / name).is_dir():
        return
    runs = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    hint = similar_run(folder / name) or f"; it holds {name_some(sorted(runs)) or 'no runs'}"
    raise ValueError(f"{flag} {name}: no such run in {checkpoints_dir}{hint}")


def check_supernet(checkpoints_dir, name, flag):
    """Check that a run exists and is of a supernet.

    Raises:
        ValueError: if it is not.
    """
    check_exists(checkpoints_dir, name, flag)
    folder = Path(checkpoints_dir) / name
    model = recorded(folder).get("model")
    if model == "ugc_supernet":
        return
    what = f"is of --model {model}" if model else "has no train_opt.json, which records the model"
    start = f" --restore_G {folder / 'latest_net_G.pth'}" if (folder / "latest_net_G.pth").is_file() else ""
    raise ValueError(f"{flag} {name}: the run in {folder} {what}; a supernet is needed. Train one with "
                     f"train.py --model ugc_supernet --name {name}_supernet{start}")


def check_new_run(opt, name):
    """Check that training does not replace a run without ``--overwrite``, nor a run that it reads.

    Raises:
        ValueError: if it would.
    """
    check_name(name)
    folder = Path(opt.checkpoints_dir) / name
    overwrite = getattr(opt, "overwrite", False)
    if opt.continue_train:
        if overwrite:
            raise ValueError("--continue_train continues a run and --overwrite replaces it; drop one of them")
        return
    supernet = getattr(opt, "supernet", None)
    if supernet and os.path.realpath(folder) == os.path.realpath(Path(opt.checkpoints_dir) / supernet):
        raise ValueError(f"--name {name} is the run --supernet, which this run starts from; choose another "
                         "--name")
    if not holds_run(folder) or getattr(opt, "check_data", False):
        return
    if not overwrite:
        files = [path.name for path in [state_path(folder), *network_files(folder)] if path.is_file()]
        raise ValueError(f"--name {name}: {folder} holds a run ({name_some(files)}). Add --continue_train to "
                         "continue it, or --overwrite to replace it with a new run, or choose another --name")
    for option, value in vars(opt).items():
        if isinstance(value, str) and _is_file_in(value, folder):
            raise ValueError(f"--overwrite would delete {value}, which --{option} reads; choose another "
                             "--name, or copy the file to another folder")


def flags_with_values(arguments):
    """List the pairs (flag, value) of a command line, which has ``--flag value`` or ``--flag=value``."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    return [(flag, value) for flag, value in itertools.pairwise(words) if flag.startswith("--")]


def require_values(arguments):
    """Check that no flag has an empty value, such as that of a shell variable that is not set.

    Args:
        arguments: the arguments of the command line.

    Raises:
        ValueError: if a flag has one; only suffixes may be empty.
    """
    for flag, value in flags_with_values(arguments):
        if value == "" and flag not in ("--suffix", "--model_suffix"):
            raise ValueError(f"{flag} must not be empty; drop the flag for its default")


def check_toy_data(opt, arguments, settings, is_train):
    """Check that the built-in data set does not stand in for other data.

    Args:
        opt: the options.
        arguments: the arguments of the command line.
        settings: the settings of the run that the command continues or builds on, by name.
        is_train: whether the command trains.

    Returns:
        Whether the built-in data set is used.

    Raises:
        ValueError: if it would be used for a run that has used, or may have used, another data set.
    """
    reads_data = not (getattr(opt, "results", None) or getattr(opt, "input", None))
    if "toy" not in (opt.dataset_mode, getattr(opt, "base_dataset_mode", None)) or not reads_data:
        return False
    given = any(flag in _TOY_FLAGS and value == "toy" for flag, value in flags_with_values(arguments))
    if given or settings.get("base_dataset_mode") == "toy":
        return True
    folder = Path(opt.checkpoints_dir) / opt.name
    earlier = getattr(opt, "supernet", None) if is_train else opt.name
    if not earlier and holds_run(folder) and recorded(folder).get("base_dataset_mode") != "toy":
        earlier = opt.name
    if earlier:
        data = recorded(Path(opt.checkpoints_dir) / earlier).get("dataroot")
        what = f"used --dataroot {data}" if data else "records no data set"
        flag = "--base_dataset_mode" if opt.dataset_mode == "adf" else "--dataset_mode"
        subject = getattr(opt, "student", None) or f"the run {earlier}"
        raise ValueError(f"{subject} {what}; give --dataroot, or {flag} toy for the toy data set")
    return True


def recorded(folder):
    """Read the options in ``train_opt.json`` of a run; empty if it has none."""
    path = Path(folder) / "train_opt.json"
    return read_json(path) if path.is_file() else {}


def _is_file_in(text, folder):
    """Return whether a text is the path of a file below a folder."""
    try:
        return Path(text).is_file() and Path(os.path.realpath(folder)) in Path(text).resolve().parents
    except (OSError, ValueError):
        return False

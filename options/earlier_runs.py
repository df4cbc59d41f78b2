"""Settings that a command takes from the run that it continues or builds on."""
from __future__ import annotations

import os
import re
import string
from dataclasses import dataclass
from pathlib import Path

from compression.checkpoints.files import read_json, write_json
from compression.checkpoints.records import Size, read_record
from compression.distill.features import FEATURES, choose_features
from compression.distill.hed import HED_KEYWORD
from compression.runtime import distributed
from compression.runtime.text import did_you_mean, name_some

# settings of the data and the networks that a later stage takes from the run that it builds on
INHERITED = ("dataroot", "base_dataset_mode", "direction", "input_nc", "output_nc", "ngf", "netG", "norm",
             "no_dropout", "label_nc", "contain_dontcare_label", "no_instance", "label_dir", "image_dir",
             "instance_dir", "aspect_ratio", "no_pairing_check", "n_downsample_global", "n_blocks_global",
             "n_local_enhancers", "n_blocks_local", "num_upsampling_layers", "load_size", "crop_size",
             "preprocess", "label_ratio", "split_by", "search_split", "unlabeled", "unlabeled_dir",
             "unlabeled_instance_dir", "toy_train_images", "toy_test_images", "seed", "macs", "teacher_macs")
# further settings that only a training stage takes, not a test or a search
TRAINING_ONLY = ("max_dataset_size", "batch_size", "amp", "channels_last", "validate_fp32", "gan_mode",
                 "lambda_L1", "lambda_feat", "lambda_vgg", "no_vgg_loss", "no_ganFeat_loss", "vgg19_weights",
                 "no_TTUR", "diffaugment", "lambda_r1", "r1_every", "lambda_lecam", "lambda_gan_unlabeled")
# options that may differ when a run is continued, because they change neither the computation nor the data
RESUME_MUTABLE = frozenset((
    "name", "checkpoints_dir", "suffix", "epoch", "load_iter", "epoch_count", "n_epochs", "n_epochs_decay",
    "gpu_ids", "num_threads", "threads", "processes", "cache", "verbose", "print_freq", "display_freq",
    "display_ncols", "display_id", "display_server", "display_env", "display_port", "display_winsize",
    "update_html_freq", "no_html", "use_wandb", "wandb_project_name", "use_tensorboard",
    "save_latest_freq", "save_epoch_freq", "save_by_iter", "eval_every", "check_data", "max_image_pixels"))
# those of them that a continued run does not take from the saved settings; images are sent to a visdom server
PER_COMMAND = frozenset(("name", "checkpoints_dir", "suffix", "epoch", "load_iter", "epoch_count", "gpu_ids",
                         "verbose", "check_data", "max_image_pixels", "display_server"))
# paths of files that can contain code: a saved setting must never lead to running one
NEVER_INHERITED = ("feature_network",)
# how runs of earlier versions behave, which do not record these settings
_BEFORE = {"sub_pseudo_inputs": "all", "search_split": 0.0, "amp": "none", "channels_last": False,
           "halving_images": 0}
_FILE = "train_opt.json"
_VALUE_TYPES = (str, int, float, list, type(None))  # of flags


@dataclass
class SearchResult:
    """The entries of a result of a search that a distillation reads, beside its architecture."""

    size: Size | None = None


class Settings(dict):
    """Settings by name; the attribute `paths` has the file that each was read from."""

    def __init__(self, path=None, values=()):
        dict.__init__(self, values)
        self.paths = dict.fromkeys(values, path)

    def __or__(self, other):
        """Add the settings of another file, which take precedence."""
        merged = Settings(values={**self, **other})
        merged.paths = {**self.paths, **other.paths}
        return merged


def with_unrecorded(settings):
    """Add the settings that a run of an earlier version does not record, with the values that it uses.

    Args:
        settings: those of a run, by name; without any they stay empty.
    """
    if not settings:
        return {}
    settings = {**_BEFORE, **settings}
    if "lambda_feature" in settings:  # of a distillation
        kind = choose_features(settings.get("perceptual", "auto"), settings.get("vgg_weights"),
                               settings.get("output_nc", 3))
        settings["perceptual"] = kind
        if settings.get("lambda_pixel") is None:
            settings["lambda_pixel"] = FEATURES[kind].pixel_weight
    return settings


def settings_to_inherit(folder, is_train):
    """Read the settings that a stage takes from the run in `folder`.

    Args:
        folder: folder of the run.
        is_train: whether the stage trains; then it also takes the settings in ``TRAINING_ONLY``.

    Returns:
        :class:`Settings`, empty if the run has not recorded any.

    Raises:
        ValueError: if the file with the settings holds other data.
    """
    saved = saved_settings(folder)
    names = INHERITED + TRAINING_ONLY if is_train else INHERITED
    settings = {name: saved[name] for name in names if name in saved}
    if "label_ratio" in saved:
        settings["split_seed"] = split_of(saved)["split_seed"]  # another --seed must not change the split
    return Settings(Path(folder) / _FILE, settings)


def settings_to_continue(folder):
    """Read the settings of a run that is continued in an upstream checkout.

    A file of ``--restore_G`` or ``--restore_D`` that no longer exists is left out: the run's own checkpoints
    replace its weights.

    Raises:
        ValueError: as :func:`settings_to_inherit`.
    """
    skipped = {*PER_COMMAND, *NEVER_INHERITED, "continue_train", "override", "phase"}
    saved = Settings(Path(folder) / _FILE, {name: value for name, value in saved_settings(folder).items()
                                            if name not in skipped})
    for name in ("restore_G", "restore_D"):
        if saved.get(name) and not Path(saved[name]).is_file():
            del saved[name]
    return saved


def saved_settings(folder):
    """Read the settings that the run in `folder` has recorded; empty if it has not.

    Raises:
        ValueError: if the file with the settings holds other data.
    """
    path = Path(folder) / _FILE
    if not path.is_file():
        return {}
    saved = read_json(path)
    wrong = [name for name, value in saved.items() if not isinstance(value, _VALUE_TYPES)]
    if wrong:
        raise ValueError(f"{path}: expected the options of a run, but the values of {name_some(wrong)} have "
                         "types that no flag has")
    return with_unrecorded(saved)


def training_folders(opt):
    """Return ``label_dir``, ``image_dir``, and ``instance_dir`` of the training of a run, by name.

    They are empty if the run has not recorded any.

    Args:
        opt: the options of a training, or those of a stage that runs on the results of one.
    """
    names = ("label_dir", "image_dir", "instance_dir")
    if hasattr(opt, "training_folders"):  # set by data.held_out
        return opt.training_folders
    if not opt.isTrain and getattr(opt, "name", None) and getattr(opt, "checkpoints_dir", None):
        settings = settings_to_inherit(Path(opt.checkpoints_dir) / opt.name, is_train=False)
        return {name: settings[name] for name in names if name in settings}
    return {name: getattr(opt, name) for name in names if hasattr(opt, name)}


def split_of(settings):
    """Return the settings that decide which images a training uses and holds out, by name.

    Args:
        settings: those of a run, or of a command. A run without the data set ``adf`` uses all pairs.
    """
    if settings.get("dataset_mode") != "adf":
        settings = {**settings, "label_ratio": 1.0, "search_split": 0.0}
    seed = settings.get("split_seed")
    return {"label_ratio": settings.get("label_ratio", 1.0),
            "search_split": settings.get("search_split", 0.0),
            "split_by": settings.get("split_by", "random"),
            "split_seed": settings.get("seed") if seed is None else seed}


def labels_outside_the_split(opt):
    """Describe the checkpoints that a supernet starts from although they have seen other images.

    Args:
        opt: the options of a supernet.

    Returns:
        One line for each of ``--restore_G`` and ``--restore_D`` whose run is recorded and used labels that
        are not among those of ``--label_ratio``, or trained on images that ``--search_split`` holds out.
    """
    own = split_of(vars(opt))
    lines = []
    for flag in ("restore_G", "restore_D"):
        path = getattr(opt, flag)
        run = saved_settings(Path(path).parent) if path else {}
        if not run:
            continue
        used = split_of(run)
        is_other = any(used[name] != own[name] for name in ("split_by", "split_seed"))
        trained, allowed = (s["label_ratio"] * (1 - s["search_split"]) for s in (used, own))
        if own["label_ratio"] < 1 and (is_other or used["label_ratio"] > own["label_ratio"]):
            lines.append(f"--{flag} {path}: its run used {100 * used['label_ratio']:g} % of the labels, and "
                         f"not only those of --label_ratio {own['label_ratio']:g} --seed {own['split_seed']} "
                         f"--split_by {own['split_by']}; the results are not few-label results")
        elif own["search_split"] and (is_other or trained > allowed + 1e-9):
            lines.append(f"--{flag} {path}: its run also trained on images that --search_split "
                         f"{own['search_split']:g} holds out, so the search compares networks on images that "
                         "the original has seen; train the original with --dataset_mode adf and the same "
                         "--search_split and --seed")
    return lines


def check_code_files(saved, known, path):
    """Check that saved settings name no file that can contain code, unless the command names one itself.

    Args:
        saved: the settings of the run to continue.
        known: the options of the command.
        path: the file with the saved settings, for the message.

    Raises:
        ValueError: if the run used such a file and the command does not give its flag.
    """
    for name in NEVER_INHERITED:
        if saved.get(name) not in (None, HED_KEYWORD) and getattr(known, name, None) is None:
            raise ValueError(f"{path}: the run was started with --{name}. A TorchScript file can run code, "
                             f"so its path is never read from saved settings; add --{name} FILE for a file "
                             "that you trust")


def save_settings(folder, opt, run):
    """Save the settings of a training run, and its identifier, for the stages that build on it."""
    if distributed.rank() == 0:
        write_json(Path(folder) / _FILE, {"run": run, **plain_settings(opt)})


def plain_settings(opt):
    """Return the parsed options whose values have the type of a flag's value."""
    return {name: value for name, value in vars(opt).items() if isinstance(value, _VALUE_TYPES)}


def without_resume_flags(settings):
    """Drop the flags that belong to a command and not to a run, such as ``continue_train``."""
    return {name: value for name, value in settings.items()
            if name not in ("continue_train", "override", "overwrite")}


def original_of(folder, epoch):
    """Return the checkpoint of the original that the supernet in `folder` was built from.

    This is the file of ``--restore_G`` if it exists, and otherwise the checkpoint of the supernet, whose
    largest network is the original.
    """
    path = Path(folder) / _FILE
    restored = read_json(path).get("restore_G") if path.is_file() else None
    if isinstance(restored, str) and os.path.isfile(restored):  # False also for impossible names
        return Path(restored)
    return Path(folder) / f"{epoch}_net_G.pth"


def searched_size(folder):
    """Return the [height, width] of the images that the supernet in `folder` was searched for, or None.

    Raises:
        ValueError: if the file records something else.
    """
    path = Path(folder) / "search" / "student.json"
    size = read_record(SearchResult, read_json(path), path).size if path.is_file() else None
    return None if size is None else list(size)


def forbid_changes(saved, settings):
    """Check that a continued run has the same settings as before.

    Args:
        saved: the settings of the run, by name.
        settings: those of the command that continues it.

    Raises:
        ValueError: if any of `saved` differs; the message lists all of them.
    """
    changed = [f"--{name} was {saved[name]}, now {settings[name]}" for name in sorted(saved)
               if saved[name] != settings[name]]
    if changed:
        raise ValueError(f"--continue_train: {'; '.join(changed)}. Drop these flags to continue as before, "
                         "or add --override to continue with the new values")


def similar_run(folder):
    """Suggest the run whose name is similar to that of a missing one, as the end of a message.

    Args:
        folder: the folder of the run.
    """
    folder = Path(folder)
    if folder.is_dir() or not folder.parent.is_dir():
        return ""
    return did_you_mean(folder.name, [path.name for path in folder.parent.iterdir() if path.is_dir()])


def run_name(opt):
    """Return the run's name: ``--name`` and, after an underscore, ``--suffix`` with its options filled in.

    Raises:
        ValueError: if the suffix names an unknown option.
    """
    return opt.name + ("_" + format_suffix(opt.suffix, vars(opt)) if opt.suffix else "")


def name_of_earlier_run(known):
    """Return the name of the earlier run that ``--name`` and ``--suffix`` select.

    Args:
        known: the options parsed so far.

    Raises:
        ValueError: if the suffix names an option that is not parsed yet.
    """
    try:
        return run_name(known)
    except ValueError as error:
        raise ValueError(f"{error}; or give the complete name of the run as --name, without "
                         "--suffix") from None


def format_suffix(suffix, values):
    """Replace every ``{option}`` in ``--suffix`` by its value; ValueError for an unknown option.

    A format such as ``{lr:.4f}`` has at most two digits each for width and precision.
    """
    try:
        for _, name, form, _ in string.Formatter().parse(suffix):
            if name is not None and not re.fullmatch(r"\w+", name):
                raise ValueError(f"'{name}' is not the name of one")
            if form and not re.fullmatch(r"[^\d{}]*\d{0,2}(\.\d{1,2})?[a-zA-Z%]?", form):
                raise ValueError(f"'{form}' is not a short format")
        return suffix.format(**values)
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(f"--suffix {suffix}: its {{name}} must be an option ({error})") from None

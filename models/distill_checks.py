"""Checks of the supernet, the search, and the state that a distillation builds on."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from torch import Tensor

from compression.checkpoints import load_state_dict_file
from compression.checkpoints.records import Count, Finite, Limits, read_record
from compression.runtime.text import name_some, printable
from options.earlier_runs import saved_settings, split_of
from options.run_checks import recorded
from options.ugc_options import checkpoint_tag

from .conditional_gan import RegularizationState


@dataclass
class FilterState:
    """The state of the data filter, by teacher: its recent scores, and the share that it accepts."""

    kind: str
    history: dict[str, list[Finite]]
    acceptance: dict[str, Annotated[float, Limits(0, 1.001)]]  # means of rounded numbers


@dataclass
class DistillState:
    """The result of ``UGCDistillModel.extra_state``."""

    filter: FilterState
    recent: list[Tensor]
    steps: Count = 0  # not in files of earlier versions, like the following entries
    losses: dict[str, float] = field(default_factory=dict)
    teachers_average: dict[str, Tensor] = field(default_factory=dict)
    regularization: dict[str, RegularizationState] = field(default_factory=dict)


def check_direction(opt):
    """Check that student and teachers get the inputs that the supernet was trained for.

    Raises:
        ValueError: if ``--direction`` is not that of the supernet.
    """
    trained = recorded(Path(opt.checkpoints_dir) / opt.supernet).get("direction", opt.direction)
    if trained != opt.direction:
        raise ValueError(f"--direction {opt.direction}: the supernet {opt.supernet} was trained with "
                         f"--direction {trained}; drop the flag, or train a supernet for this direction")


def warn_of_other_split(opt):
    """Print a warning if the distillation holds out images that the supernet has been trained on."""
    run = saved_settings(Path(opt.checkpoints_dir) / opt.supernet)
    if not run or not opt.search_split:
        return
    own, used = split_of(vars(opt)), split_of(run)
    changed = [f"--{name} {own[name]} (the supernet: {used[name]})"
               for name in own if own[name] != used[name]]
    if changed:
        print(f"warning: {', '.join(changed)}: the supernet has trained on images that this distillation "
              "holds out; with --eval_every, the best networks are selected on them")


def check_searched(opt, files):
    """Check that the architectures of student and teachers exist.

    Args:
        opt: parsed options.
        files: student, wide, or deep -> file of its architecture.

    Raises:
        ValueError: if one does not exist, as before a search.
    """
    for name, path in files.items():
        if not path.is_file():
            raise ValueError(f"--supernet {opt.supernet}: there is no {path}; run search.py --name "
                             f"{opt.supernet} first, or give the file of an architecture with --{name}_arch")


def check_continued(opt, networks):
    """Check that student and teachers have the architectures of the run that is continued.

    Args:
        opt: parsed options.
        networks: X of ``<tag>_net_X.pth`` in the run -> network that is built from the search.

    Raises:
        ValueError: if they differ, as after a new search.
    """
    folder = Path(opt.checkpoints_dir) / opt.name
    for name, net in networks.items():
        path = folder / f"{checkpoint_tag(opt)}_net_{name}.pth"
        if not path.is_file():
            continue
        saved = {key: value.shape for key, value in load_state_dict_file(path).items()}
        if saved != {key: value.shape for key, value in net.state_dict().items()}:
            raise ValueError(f"--continue_train: {path} has another architecture than the search of "
                             f"{opt.supernet}, which was probably repeated since; start a new distillation "
                             "under another --name, or give the architectures of the run with "
                             "--student_arch, --wide_arch, and --deep_arch")


def check_extra_state(state, source, data_filter, student, encoding):
    """Check the state of the filter and the inputs for the calibration, as they were saved.

    Args:
        state: the result of ``UGCDistillModel.extra_state``.
        source: the file that it was read from.
        data_filter: the filter of this run.
        student: the student, which the inputs must fit.
        encoding: of the inputs.

    Raises:
        ValueError: if an entry has another type or range, or is of another filter, other teachers, or other
            inputs; the message names file and entry.
    """
    entry = "model.extra"
    saved = read_record(DistillState, state, source, entry)
    kind, teachers = saved.filter.kind, [*saved.filter.history]
    if kind != data_filter.kind or set(teachers) != set(data_filter.history):
        raise ValueError(f"{source}: '{entry}.filter' is that of --adf {printable(kind, 40)} with the "
                         f"teachers {name_some(teachers)}; this run has "
                         f"--adf {data_filter.kind} with the teachers "
                         f"{', '.join(data_filter.history)} (--teachers)")
    if set(saved.filter.acceptance) != set(teachers):
        raise ValueError(f"{source}: '{entry}.filter.acceptance' must have the teachers "
                         f"{', '.join(teachers)}, got {name_some(saved.filter.acceptance) or 'none'}; the "
                         "file is damaged or was edited")
    for i, item in enumerate(saved.recent):
        if item.ndim != 3 or student.size_error(*item.shape[1:]) or not encoding.takes(item):
            raise ValueError(f"{source}: '{entry}.recent[{i}]' must be a finite input of the student, "
                             f"{encoding.channels} channels or a label map, got {item.dtype} of shape "
                             f"{tuple(item.shape)}; the file is damaged or was edited")

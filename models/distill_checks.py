"""Checks of the supernet and the search that a distillation builds on."""
from pathlib import Path

from compression.checkpoints import load_state_dict_file
from options.earlier_runs import saved_settings, split_of
from options.run_checks import recorded
from options.ugc_options import checkpoint_tag


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

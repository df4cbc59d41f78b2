"""Checks of parsed options: names of networks, and names of files and folders."""
from compression.elastic.families import canonical_netG, generator_names
from compression.elastic.layers import NORMS
from compression.originals.discriminators import DISCRIMINATORS
from compression.runtime.text import unknown

from .run_checks import check_name


def check_options(opt):
    """Check the names of the networks, files, and folders; replace aliases of ``--netG``.

    Raises:
        ValueError: for the first wrong value.
    """
    check_folder_names(opt)
    check_epochs(opt)
    opt.netG = canonical_netG(opt.netG)
    if opt.netG not in generator_names():
        raise ValueError(unknown(f"--netG {opt.netG}", opt.netG, generator_names()))
    if opt.netD not in DISCRIMINATORS:
        raise ValueError(unknown(f"--netD {opt.netD}", opt.netD, DISCRIMINATORS))
    if opt.norm not in NORMS:
        raise ValueError(unknown(f"--norm {opt.norm}", opt.norm, NORMS))


def check_epochs(opt):
    """Check that training has an epoch, and that ``--lr_policy plateau`` has a value to monitor.

    Raises:
        ValueError: if not.
    """
    if not opt.isTrain:
        return
    last = opt.n_epochs + opt.n_epochs_decay
    if last < 1:
        raise ValueError("--n_epochs 0 with --n_epochs_decay 0 leaves no epoch to train; give at least one "
                         "of them")
    if opt.epoch_count > last and not opt.continue_train:
        raise ValueError(f"--epoch_count {opt.epoch_count}: the last epoch is {last}, the sum of --n_epochs "
                         "and --n_epochs_decay")
    if opt.lr_policy == "plateau" and opt.eval_every < 1:
        raise ValueError("--lr_policy plateau monitors the validation, but there is none; add --eval_every "
                         "N, the number of epochs between two validations")


def check_folder_names(opt):
    """Check the options that become names of files and folders, so that no path leaves its parent folder.

    Raises:
        ValueError: if --name is not the name of a folder (``group/run`` is one), or --phase, --epoch,
            --eval_phase, or --model_suffix has a path separator or is a folder above.
    """
    check_name(opt.name)
    for name in ("phase", "eval_phase", "epoch", "model_suffix"):
        value = getattr(opt, name, None)
        if value and (any(character in value for character in "/\\\0") or value in (".", "..")):
            raise ValueError(f"--{name} must be a name without path separators, got {value!r}")

"""Options of search.py."""
import sys
from argparse import Namespace
from pathlib import Path

import torch

from compression.checkpoints.files import MAX_STATE_BYTES, read_json
from compression.deploy.runtimes import RUNTIMES
from compression.metrics import METRICS
from compression.runtime import distributed
from compression.runtime.numbers import integer, number
from compression.search.sampling import LEAST_SHARE
from util.run_folder import folder_of

from .base_options import BaseOptions
from .budget import budget
from .earlier_runs import (
    PER_COMMAND,
    RESUME_MUTABLE,
    Settings,
    check_code_files,
    forbid_changes,
    name_of_earlier_run,
    plain_settings,
    saved_settings,
    training_folders,
    with_unrecorded,
    without_resume_flags,
)
from .metric_options import add_metric_options
from .precedence import asks_for_help, inherit, parse_known, set_defaults
from .run_checks import check_supernet
from .search_split import phase_to_compare
from .ugc_options import add_once

UPSTREAM = not hasattr(BaseOptions, "saved_settings")  # whether this file runs in an upstream checkout


class SearchOptions(BaseOptions):
    """The flags of the search. The settings of the supernet come from its run, ``--name``."""

    isTrain = False
    exclusive = True
    resume_mutable = RESUME_MUTABLE - {"epoch", "load_iter", "threads"}  # of the supernet, and of the latency

    def initialize(self, parser):
        """Add the flags of the search to those of every entry point."""
        parser = BaseOptions.initialize(self, parser)
        parser.set_defaults(model="ugc_supernet")
        add_budget_options(parser)
        add_evolution_options(parser)
        parser = add_metric_options(parser)
        return self.set_upstream_defaults(parser) if UPSTREAM else parser

    def saved_settings(self, known):
        """Read the settings of the search that ``--continue_train`` continues.

        Returns:
            Settings by name, empty without this flag.

        Raises:
            ValueError: if there is no such search, or its state is unreadable.
        """
        if not known.continue_train:
            return {}
        known.name = name_of_earlier_run(known)
        path = search_state(known)
        if not path.is_file():
            raise ValueError(f"--continue_train: {path} does not exist, there is no search to continue; "
                             "start it without --continue_train")
        saved = read_json(path, MAX_STATE_BYTES).get("settings")
        if not isinstance(saved, dict):
            raise ValueError(f"{path}: expected the state of a search, but the file has no settings")
        saved = with_unrecorded(saved)
        check_code_files(saved, known, path)
        kept = {name: value for name, value in saved.items() if name not in PER_COMMAND & self.resume_mutable}
        return Settings(path, kept)

    def inherited(self, known):
        """Return the settings of the supernet's run; a budget of latency replaces its budget of MACs."""
        settings = BaseOptions.inherited(self, known)
        if known.latency_ms is not None:
            settings.pop("macs", None)
        return settings

    def check_runs(self, opt):
        """Check that ``--name`` is the run of a supernet."""
        check_supernet(opt.checkpoints_dir, opt.name, "--name")

    def set_upstream_defaults(self, parser):
        """Apply the run of the supernet and the search to continue in an upstream checkout.

        Upstream requires ``--dataroot``, which the run records, and its older generation uses a GPU by
        default.
        """
        optional = {"dataroot": None}
        if not torch.cuda.is_available():
            optional["gpu_ids"] = "-1"
        set_defaults(parser, "default", optional)
        known = parse_known(parser)
        if not asks_for_help():
            check_supernet(known.checkpoints_dir, name_of_earlier_run(known), "--name")
        run = saved_settings(Path(known.checkpoints_dir) / name_of_earlier_run(known))
        set_defaults(parser, "default", {"phase": phase_to_compare(Namespace(**run), None)})
        self.continued = self.saved_settings(known)
        parser.continued = self.continued  # for the model, whose flags follow
        parser = inherit(parser, is_train=False)
        if known.latency_ms is not None and not self.continued:
            set_defaults(parser, "default", {"macs": None})
        return parser

    def parse(self, *arguments):
        """Parse the options as ``BaseOptions.parse``, also in an upstream checkout.

        Raises:
            ValueError: if a value is out of range, the options differ from those of the search that is
                continued, or an upstream checkout does not support them.
        """
        opt = BaseOptions.parse(self, *arguments)
        if UPSTREAM:
            self.check_upstream(opt)
        opt.phase = choose_phase(opt)
        if opt.continue_train and opt.overwrite:
            raise ValueError("--continue_train continues a search and --overwrite replaces it; drop one of "
                             "them")
        check_finalists(opt)
        check_latency(opt)
        check_halving(opt)
        check_minutes(opt, sys.argv[1:] if not arguments or arguments[0] is None else arguments[0])
        return opt

    def check_upstream(self, opt):
        """Set ``opt.settings`` and the device, and check the options, which upstream's parse does not do.

        Raises:
            ValueError: if the options differ from those of the search that is continued, or an upstream
                checkout does not support them.
        """
        opt.settings = without_resume_flags(plain_settings(opt))
        if self.continued and not opt.override:
            saved = {name: value for name, value in self.continued.items()
                     if name in opt.settings and name not in self.resume_mutable}
            forbid_changes(saved, opt.settings)
        if not opt.dataroot:
            raise ValueError(f"--name {opt.name}: the run in {opt.checkpoints_dir} records no data; give "
                             "--dataroot")
        metrics = [opt.criterion, *(opt.front_metrics or ())]
        if opt.labels or "miou" in [name.lower() for name in metrics]:
            raise ValueError("--labels and the mIoU (--criterion, --front_metrics) need label maps, which "
                             "only the UGC repository reads; run search.py there")
        if opt.finalists:
            raise ValueError("--finalists trains networks with train.py of the UGC repository; run search.py "
                             "there, or drop the flag")
        if distributed.world_size() > 1:
            raise ValueError("search.py runs on several processes only in the UGC repository; start it "
                             "without torchrun")
        if not hasattr(opt, "gpu_ids"):  # upstream since 2025
            opt.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_phase(opt):
    """Choose the phase that candidates are scored on; other folders than those of the training are of val."""
    folders = training_folders(opt)
    has_others = any(getattr(opt, name, None) != folder for name, folder in folders.items())
    return "val" if has_others and not opt.phase else phase_to_compare(opt, opt.phase)


def add_budget_options(parser):
    """Add the budgets of the networks, the score of candidates, and the split of the data set."""
    add = parser.add_argument
    add("--phase", type=str,
        help="split of the data set that candidates are scored on (default: search_split, the training "
             "images that the supernet's --search_split has held out; val if it has held out none)")
    add("--macs", type=budget,
        help="MACs budget of the student, such as 1.3G, for one whole image of --phase, counted as in "
             "the published tables (default: that of the supernet, or a sixteenth of the original)")
    add("--teacher_macs", type=budget,
        help="MACs budget of the wide and of the deep teacher (default: that of the supernet, or "
             "four times that of the student)")
    add("--least_share", type=number(0, below=1), default=LEAST_SHARE,
        help="minimum share of its budget of MACs, or of latency, that a candidate uses, at least 0 and "
             "below 1. The supernet trains its smallest network in every step, so after a short "
             "training this network scores best without a minimum, although larger students gain more in the "
             "distillation")
    add("--params", type=budget,
        help="maximum number of parameters of the student, such as 1M (default: no limit)")
    add("--latency_ms", type=number(above=0),
        help="maximum latency of the student in milliseconds for one image of --phase in fp32, predicted "
             "from sub-networks that are measured on this device first (minutes; search/latency_*.json keeps "
             "them). Without --macs on the command line, the MACs of the student are then not limited "
             "(default: no limit)")
    add("--latency_runtime", type=str, choices=RUNTIMES,
        help="runtime of --latency_ms; all but torch need requirements-export.txt (default: torch, on the "
             "device of the search; the others use the CPU)")
    add_once(parser, "--threads", type=integer(1, 1024),
             help="number of CPU threads of PyTorch and of --latency_ms (default: that of PyTorch)")
    add("--criterion", type=str, default="agreement",
        help="score of candidates: agreement, the distance to the images of the original, which needs no "
             f"targets; or one of {', '.join(METRICS)}")


def check_latency(opt):
    """Check ``--latency_runtime``, and set its default.

    Raises:
        ValueError: if it is given without a budget.
    """
    if opt.latency_ms is None and opt.latency_runtime is not None:
        raise ValueError(f"--latency_runtime {opt.latency_runtime} measures nothing without --latency_ms; "
                         "add --latency_ms 40, or drop the flag")
    opt.latency_runtime = opt.latency_runtime or "torch"


def check_finalists(opt):
    """Check the flags of the finalists, and set the default of ``--finalist_epochs``.

    Raises:
        ValueError: if there are not at least two, or more than candidates of a generation, or none to train.
    """
    is_planned = opt.minutes is not None and not opt.continue_train  # its population is large enough
    if opt.finalists == 1 or opt.finalists > opt.population and not is_planned:
        raise ValueError(f"--finalists must be 0, or from 2 to --population {opt.population}, got "
                         f"{opt.finalists}")
    if opt.finalist_epochs and not opt.finalists:
        raise ValueError(f"--finalist_epochs {opt.finalist_epochs} trains no network without --finalists; "
                         "add --finalists 4, or drop the flag")
    opt.finalist_epochs = opt.finalist_epochs or 5


def check_halving(opt):
    """Check the value of ``--halving_images``, if it is given.

    Raises:
        ValueError: if there are not more ``--search_images``, or the criterion compares sets of images.
    """
    few = opt.halving_images or 0
    if few and not opt.minutes and few >= opt.search_images:
        raise ValueError(f"--halving_images {few} must be below --search_images {opt.search_images}; 0 "
                         "scores every candidate on all of them")
    if few and opt.criterion.upper() in ("FID", "KID"):
        raise ValueError(f"--halving_images {few}: --criterion {opt.criterion} compares sets of images, for "
                         "which a few images are too few; drop --halving_images")


def check_minutes(opt, arguments):
    """Check that no flag is given that ``--minutes`` chooses.

    Raises:
        ValueError: if one is.
    """
    if opt.minutes is None or opt.continue_train:
        return
    given = {str(argument).split("=")[0] for argument in arguments}
    chosen = [flag for flag in ("--population", "--generations", "--search_images") if flag in given]
    if chosen:
        raise ValueError(f"--minutes {opt.minutes:g} chooses {' and '.join(chosen)}; drop --minutes or drop "
                         f"{' and '.join(chosen)}")


def add_evolution_options(parser):
    """Add the settings of the evolutionary search and the numbers of images."""
    add = parser.add_argument
    add("--population", type=integer(2, 10 ** 5), default=32, help="number of candidates per generation")
    add("--generations", type=integer(1, 10 ** 5), default=8,
        help="number of generations in the search for the student; half as many for each teacher")
    add("--mutation_rate", type=number(0, at_most=1), default=0.15,
        help="probability that a mutation changes a width")
    add("--minutes", type=number(above=0),
        help="time for the search, without --finalists: the first candidates are measured, and --population, "
             "--generations, and --search_images chosen such that the search ends in time; the plan is "
             "printed and kept by --continue_train (default: no limit)")
    add("--search_images", type=integer(1), default=32,
        help="number of images of --phase that a candidate is scored on")
    add("--halving_images", type=integer(0),
        help="number of images, spread over the --search_images, that all candidates of a generation are "
             "scored on first; only the best sixteenth is scored on all of them. 0: score every candidate on "
             "all images (default: a fifth of the images if this is at least 16, they have one size, and the "
             "criterion is a mean over images; otherwise 0)")
    add("--processes", type=integer(1, 1024),
        help="number of processes on the CPU that score candidates, with one thread each; the scores do not "
             "depend on it (default: one for each core if images have at most 256x256 pixels, as far as the "
             "free memory suffices; otherwise 1)")
    add("--finalists", type=integer(0, 10 ** 5), default=0,
        help="number of the best students that are compared again after a short distillation from the "
             "largest network, at most --population; 0: the score of the search decides. They are compared "
             "on the training images that the supernet's --search_split holds out")
    add("--finalist_epochs", type=integer(1),
        help="epochs of the distillation of each finalist (default: 5)")
    add("--calibration_images", type=integer(1), default=32,
        help="number of training inputs for the calibration of batch norm")
    add("--front_metrics", type=str, nargs="+",
        help="metrics of the networks on the Pareto front, for the report (default: all that can be "
             "computed)")
    add("--continue_train", action="store_true",
        help="continue an interrupted search; flags that are not given keep the values of the search")
    add("--override", action="store_true",
        help="with --continue_train: continue although flags that affect the result differ")
    add_once(parser, "--overwrite", action="store_true",
             help="replace an unfinished search; the results of a finished search are replaced without this "
                  "flag, when the new search ends")


def search_state(opt):
    """Return the path of the state that ``--continue_train`` reads."""
    return folder_of(opt) / "search" / "state.json"

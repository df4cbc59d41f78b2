"""Options of search.py."""
from pathlib import Path

import torch

from compression.checkpoints.files import read_json
from compression.metrics import METRICS
from compression.runtime import distributed
from util.run_folder import folder_of

from .base_options import BaseOptions
from .earlier_runs import (
    PER_COMMAND,
    RESUME_MUTABLE,
    forbid_changes,
    plain_settings,
    run_name,
    settings_to_inherit,
    take_over,
)
from .metric_options import add_metric_options
from .precedence import parse_known

UPSTREAM = not hasattr(BaseOptions, "saved_settings")  # in an upstream checkout: its options know no earlier runs


class SearchOptions(BaseOptions):
    """The supernet's own settings come from its run (``--name``); these are the flags of the search."""

    isTrain = False
    exclusive = True
    free = RESUME_MUTABLE - {"epoch", "load_iter"}  # they choose the supernet

    def initialize(self, parser):
        """Add the search flags to the base flags."""
        parser = BaseOptions.initialize(self, parser)
        parser.set_defaults(model="ugc_supernet")
        parser.add_argument("--phase", type=str, default="val", help="split that candidates are scored on")
        parser.add_argument("--macs", type=str, help="budget of the student, such as 1.3G (default: a sixteenth of the "
                            "original); MACs as in the published tables, one image of --crop_size")
        parser.add_argument("--teacher_macs", type=str, help="budget of the wide and the deep teacher (default: four "
                            "times the student's)")
        parser.add_argument("--least_share", type=float, default=0.8, help="least share of its MACs budget that a "
                            "candidate uses. The supernet trains its smallest network in every step, so that without a "
                            "floor short training favors it; what a student gains in stage 2 grows with its size")
        parser.add_argument("--params", type=str, help="most parameters of the student, such as 1M")
        parser.add_argument("--latency_ms", type=float, help="most milliseconds of the student for one image, measured "
                            "on this machine's device")
        parser.add_argument("--criterion", type=str, default="agreement", help="what candidates are chosen by: distance to "
                            "the original's images (agreement; needs no targets), or a metric: "
                            f"{', '.join(METRICS)}")
        parser.add_argument("--population", type=int, default=32, help="candidates in a generation")
        parser.add_argument("--generations", type=int, default=8, help="generations of the student's search; each "
                            "teacher's takes half as many")
        parser.add_argument("--mutation_rate", type=float, default=0.15, help="probability with which a mutation "
                            "changes a width")
        parser.add_argument("--search_images", type=int, default=32, help="validation images a candidate is scored on")
        parser.add_argument("--calibration_images", type=int, default=32, help="training inputs that batch-norm "
                            "statistics are re-estimated on")
        parser.add_argument("--front_metrics", type=str, nargs="+", help="metrics of the networks on the Pareto front, for "
                            "the report (default: all that can be computed)")
        parser.add_argument("--continue_train", action="store_true", help="continue an interrupted search; flags that are not "
                            "given are those of the search")
        parser.add_argument("--override", action="store_true", help="with --continue_train: go on although flags that matter "
                            "differ")
        parser = add_metric_options(parser)
        return self.look_back(parser) if UPSTREAM else parser

    def saved_settings(self, known):
        """Of the search that ``--continue_train`` continues.

        Raises:
            ValueError: if there is none.
        """
        if not known.continue_train:
            return {}
        known.name = run_name(known)
        path = search_state(known)
        if not path.is_file():
            raise ValueError(f"--continue_train: {path} does not exist, there is no search to continue")
        saved = read_json(path).get("settings")
        if not isinstance(saved, dict):
            raise ValueError(f"{path}: is no state of a search")
        return {key: value for key, value in saved.items() if key not in PER_COMMAND & self.free}

    def look_back(self, parser):
        """In an upstream checkout: the flags of the supernet's run and of a search to continue become defaults."""
        # upstream requires a data root, which the run tells, and its first generation a GPU, unless told otherwise
        take_over(parser, {"dataroot": None} | ({} if torch.cuda.is_available() else {"gpu_ids": "-1"}))
        known = parse_known(parser)
        self.continued = self.saved_settings(known)
        take_over(parser, {**settings_to_inherit(Path(known.checkpoints_dir) / run_name(known), False), **self.continued})
        return parser

    def parse(self, *arguments):
        """Parse; ``opt.settings`` are the flags as given or taken over.

        Raises:
            ValueError: for a value out of range, a search that is continued otherwise, or, in an upstream checkout, what is
                not available there.
        """
        opt = BaseOptions.parse(self, *arguments)
        if UPSTREAM:
            self.check_upstream(opt)
        return opt

    def check_upstream(self, opt):
        """What our own BaseOptions do in their parse; ValueError for what an upstream checkout cannot serve."""
        opt.settings = {key: value for key, value in plain_settings(opt).items() if key not in ("continue_train", "override")}
        if self.continued and not opt.override:
            forbid_changes({key: value for key, value in self.continued.items() if key not in self.free}, opt.settings)
        if not opt.dataroot:
            raise ValueError(f"--name {opt.name}: no run in {opt.checkpoints_dir} tells the data; give --dataroot")
        if opt.labels or "miou" in [opt.criterion.lower(), *map(str.lower, opt.front_metrics or ())]:
            raise ValueError("--criterion mIoU and --labels: label maps are read in UGC's own repository alone")
        if distributed.world_size() > 1:
            raise ValueError("search.py runs on several processes in UGC's own repository alone; start it without torchrun")
        if not hasattr(opt, "gpu_ids"):  # upstream since 2025
            opt.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def search_state(opt):
    """The file that ``--continue_train`` reads."""
    return folder_of(opt) / "search" / "state.json"

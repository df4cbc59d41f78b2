"""Options of search.py."""
import json

from compression.metrics import METRICS
from util.run_folder import folder_of

from .base_options import FREE, OF_ONE_COMMAND, BaseOptions, run_name
from .metric_options import add_metric_options


class SearchOptions(BaseOptions):
    """The supernet's own settings come from its run (``--name``); these are the flags of the search."""

    isTrain = False
    exclusive = True
    free = FREE - {"epoch", "load_iter"}  # they choose the supernet

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
                            "floor short training favours it; what a student gains in stage 2 grows with its size")
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
        return add_metric_options(parser)

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
        saved = json.loads(path.read_text(encoding="utf-8"))["settings"]
        return {key: value for key, value in saved.items() if key not in OF_ONE_COMMAND & self.free}


def search_state(opt):
    """The file that ``--continue_train`` reads."""
    return folder_of(opt) / "search" / "state.json"

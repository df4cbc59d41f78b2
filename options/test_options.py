"""Options of test.py."""
import argparse
from pathlib import Path

from compression.cost import parse_size
from compression.deploy.exported import open_exported
from compression.deploy.runtimes import RUNTIMES
from compression.runtime.numbers import integer

from .base_options import BaseOptions
from .earlier_runs import Settings, name_of_earlier_run
from .logger_options import add_logger_options
from .search_split import choices_on
from .student_settings import add_student_settings


class TestOptions(BaseOptions):
    """Upstream's flags for testing, and ``--input`` and ``--output`` for images without a data set."""

    isTrain = False
    __test__ = False  # not a pytest class
    student = None  # file of --student
    exported = None  # file of --exported
    names_run = False  # whether --name is given
    runs_files = True  # whether the entry point runs exported files
    model = "test"  # the default of --model

    def gather(self, arguments):
        """Parse `arguments`; ``--student`` and ``--exported`` imply a ``--model``, and a ``--name``."""
        finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        finder.add_argument("--student", "--network", nargs="?")
        for flag in ("--exported", "--name", "--input"):
            finder.add_argument(flag, nargs="?")
        known = finder.parse_known_args(arguments)[0]
        self.student = known.student
        self.exported = known.exported
        self.names_run = known.name is not None
        if self.student or (self.exported and known.name):
            self.model = "ugc_student"
        if self.exported and (known.input or not (self.student or known.name)):
            self.model = "exported"
        opt = BaseOptions.gather(self, arguments)
        check_input_flags(opt)
        opt.input_size = parse_size(opt.input_size, "--input_size") if opt.input_size else None
        return opt

    def parse(self, arguments=None):
        """Parse the options as ``BaseOptions.parse``, and note what was chosen on the images of the phase."""
        opt = BaseOptions.parse(self, arguments)
        choices = choices_on(opt.phase, opt.checkpoints_dir, opt.name, opt.epoch)
        if choices and not opt.input:
            print(f"note: images of {opt.phase} decided about {' and '.join(choices)} of this run, so its "
                  f"numbers on {opt.phase} are optimistic; report another phase")
        return opt

    def inherited(self, known):
        """Return the settings of the run ``--name``, and those that the file of the student records.

        With ``--student`` and without ``--name``, no run is read.
        """
        exported = getattr(known, "exported", None)
        has_run = self.names_run or not (self.student or exported)
        settings = BaseOptions.inherited(self, known) if has_run else Settings()
        if exported and known.model == "exported":
            file = open_exported(exported, known.runtime, known.threads)
            return settings | Settings(exported, file.settings())
        return add_student_settings(settings, known, Path(known.checkpoints_dir) / name_of_earlier_run(known))

    def initialize(self, parser):
        """Add the flags for testing to those of every entry point."""
        parser = BaseOptions.initialize(self, parser)
        add = parser.add_argument
        add("--results_dir", type=str, default="./results/", help="folder of the results")
        add("--phase", type=str, default="test", help="split of the data set: train, val, test, ...")
        add("--eval", action="store_true",
            help="use eval mode: running statistics of batch norm, and no dropout")
        add("--num_test", type=integer(1), default=50,
            help="maximum number of images (default: 50 in test.py, all in evaluate.py)")
        add("--input", type=str,
            help="one image or label map, or a folder of them, of any size; a video; or camera, or camera:N "
                 "for the camera number N, from 0 (UGC)")
        add("--input_instance", type=str,
            help="instance map of --input, or folder of the instance maps of --input or --dataset_mode "
                 "single, for a generator that takes them (UGC)")
        add("--output", type=str,
            help="file or folder that the translation of --input is written to; for a video or the camera a "
                 ".mp4, .m4v, .mov, or .mkv (H.264), or .webm (VP9) (UGC)")
        if self.runs_files:
            add_file_options(parser)
        add_logger_options(parser)
        if self.student or self.exported:
            parser.set_defaults(name=Path(self.student or self.exported).stem)
        parser.set_defaults(model=self.model, load_size=parser.get_default("crop_size"))
        return parser


def add_file_options(parser):
    """Add the flags of videos, and of exported files."""
    add = parser.add_argument
    add("--input_size", type=str,
        help="HEIGHTxWIDTH in pixels, such as 256x512: scale --input to this size, then translate it "
             "(UGC)")
    add("--max_frames", type=integer(1),
        help="translate only the first frames of a video, or this number of the camera's (UGC)")
    add("--video_quality", type=integer(0, 51), default=18,
        help="quality of a video that is written: the constant rate factor, 0 (best) to 51 (UGC)")
    add("--exported", type=str,
        help="file of export.py to run: on --input or, on a data set, next to the student of --name or "
             "--student, if one of them is given (UGC)")
    add("--runtime", type=str, choices=RUNTIMES,
        help="runtime of --exported (default: that of its suffix) (UGC)")


def check_input_flags(opt):
    """Check that the flags that belong to ``--input`` or to ``--exported`` are given with it.

    Raises:
        ValueError: if one is missing, or ``--exported`` is combined with a model that does not run files.
    """
    for flag, names in {"input": ("output", "input_size", "max_frames"),
                        "exported": ("runtime",)}.items():
        unused = [f"--{name}" for name in names if getattr(opt, name)]
        if unused and not getattr(opt, flag):
            raise ValueError(f"{' and '.join(unused)}: only with --{flag}, which is not given")
    if opt.exported and opt.model not in ("exported", "ugc_student"):
        raise ValueError(f"--exported {opt.exported}: runs by itself or next to a student "
                         f"(--model ugc_student), not with --model {opt.model}")

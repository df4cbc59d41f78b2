"""Options of evaluate.py."""
from compression.metrics import METRICS

from .metric_options import add_metric_options
from .test_options import TestOptions


class EvaluateOptions(TestOptions):
    """The flags of test.py, and those of the metrics and the report."""

    __test__ = False  # not a pytest class

    def gather(self, arguments):
        """Parse `arguments`; ``--input``, which has no targets, is refused."""
        opt = TestOptions.gather(self, arguments)
        if opt.input:
            raise ValueError("--input: evaluate.py scores a data set or --results; test.py translates files")
        if opt.results and opt.exported:
            raise ValueError("--exported and --results exclude each other: existing images are scored as is")
        return opt

    def initialize(self, parser):
        """Add the flags for evaluation to those for testing; the default of ``--num_test`` is all images."""
        parser = TestOptions.initialize(self, parser)
        add = parser.add_argument
        add("--results", type=str,
            help="folder of images to score instead of running --name: the results of test.py (of this "
                 "repository, Pix2Pix, Pix2PixHD, or SPADE), or any folder of images")
        add("--reference", type=str,
            help="folder of real photos for FID and KID, or a data root with --phase. The other metrics use "
                 "the photos with the same names (default: the real photos among the results)")
        add("--metrics", type=str, nargs="+",
            help=f"any of {', '.join(METRICS)} (default: all that can be computed; the report gives the "
                 "reason for each of the others)")
        add("--runs", type=str, nargs="+", default=[],
            help="names of other runs to include in the report; they must have been evaluated before")
        add("--baseline", type=str,
            help="data set and original, such as cityscapes:unet; the report then includes the results "
                 "published for them in the paper")
        parser.set_defaults(model="exported" if self.model == "exported" else "ugc_student", num_test=10 ** 9)
        return add_metric_options(parser)

"""Options of evaluate.py."""
from compression.metrics import METRICS

from .metric_options import add_metric_options
from .test_options import TestOptions


class EvaluateOptions(TestOptions):
    """Those of test.py, and what to measure."""

    __test__ = False  # not a pytest class

    def initialize(self, parser):
        """Add the metrics to the test flags; all images of the split are scored unless --num_test says fewer."""
        parser = TestOptions.initialize(self, parser)
        parser.add_argument("--results", type=str, help="score the images of this folder instead of running --name: of test.py "
                            "(ours, pix2pix's, pix2pixHD's or SPADE's), or any folder of images")
        parser.add_argument("--reference", type=str, help="folder of real photos for FID and KID, and, where names are equal, "
                            "for the other metrics: a folder of photos, or a data root with --phase (default: the real "
                            "photos among the results)")
        parser.add_argument("--metrics", type=str, nargs="+", help=f"out of {', '.join(METRICS)} (default: all that can be "
                            "computed; of the others the report says why not)")
        parser.add_argument("--runs", type=str, nargs="+", default=[], help="other runs to draw in the report, which "
                            "have been evaluated already")
        parser.add_argument("--baseline", type=str, help="dataset:original, such as cityscapes:unet: draw the paper's published "
                            "points of this data set and original too")
        parser.set_defaults(model="ugc_student", num_test=10 ** 9)
        return add_metric_options(parser)

"""Options of test.py."""
from .base_options import BaseOptions


class TestOptions(BaseOptions):
    """Upstream's flags for testing, and ``--input`` and ``--output`` for images without a data set."""

    isTrain = False
    __test__ = False  # not a pytest class

    def initialize(self, parser):
        """Add the flags for testing to those of every entry point."""
        parser = BaseOptions.initialize(self, parser)
        add = parser.add_argument
        add("--results_dir", type=str, default="./results/", help="folder of the results")
        add("--aspect_ratio", type=float, default=1.0,
            help="ratio of width to height that saved images are stretched to")
        add("--phase", type=str, default="test", help="split of the data set: train, val, test, ...")
        add("--eval", action="store_true",
            help="use eval mode: running statistics of batch norm, and no dropout")
        add("--num_test", type=int, default=50, help="maximum number of images")
        add("--input", type=str, help="one image or label map, or a folder of them, of any size (UGC)")
        add("--input_instance", type=str,
            help="instance map of --input, for a generator that takes one (UGC)")
        add("--output", type=str, help="file or folder that the translation of --input is written to (UGC)")
        parser.set_defaults(model="test", load_size=parser.get_default("crop_size"))
        return parser

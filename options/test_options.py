"""Options of test.py."""
from .base_options import BaseOptions


class TestOptions(BaseOptions):
    """Upstream's test flags, and --input/--output for images without a data set."""

    isTrain = False
    __test__ = False  # not a pytest class

    def initialize(self, parser):
        """Add the test flags to the base flags."""
        parser = BaseOptions.initialize(self, parser)
        add = parser.add_argument
        add("--results_dir", type=str, default="./results/", help="where results are saved")
        add("--aspect_ratio", type=float, default=1.0, help="stretch the saved images to this width / height")
        add("--phase", type=str, default="test", help="folder of the split: train, val, test, ...")
        add("--eval", action="store_true", help="eval mode: running batch-norm statistics, no dropout")
        add("--num_test", "--how_many", type=int, default=50, help="how many images to run")
        add("--input", type=str, help="one image or label map, or a folder of images, of any size (ours)")
        add("--input_instance", type=str, help="the instance map of --input, for a generator that takes one (ours)")
        add("--output", type=str, help="where the translated image, or folder of images, goes (ours)")
        parser.set_defaults(model="test", load_size=parser.get_default("crop_size"))
        return parser

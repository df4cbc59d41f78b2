"""Photos whose colors are predicted from their lightness."""
from compression.runtime.lab import colorizes, split_lab

from .base_dataset import Augmentation, BaseDataset, size_error
from .check import check_images
from .image_folder import make_dataset, open_photo


class ColorizationDataset(BaseDataset):
    """Photos of ``<dataroot>/<phase>``: A is their lightness (1, H, W), B their colors (2, H, W), in CIE Lab.

    The ranges are those of upstream: L / 50 - 1 and (a, b) / 110.
    """

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Set the channels of input and output."""
        parser.set_defaults(input_nc=1, output_nc=2, direction="AtoB")
        return parser

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        if not self.root:
            raise ValueError("--dataset_mode colorization needs --dataroot, the folder of the photos")
        if not colorizes(opt.input_nc, opt.output_nc) or opt.direction != "AtoB":
            raise ValueError("--dataset_mode colorization maps lightness to colors: it needs --input_nc 1, "
                             f"--output_nc 2, and --direction AtoB, got --input_nc {opt.input_nc}, "
                             f"--output_nc {opt.output_nc}, and --direction {opt.direction}")
        self.folder = f"{self.root}/{opt.phase}"
        self.paths = make_dataset(self.folder, opt.max_dataset_size)

    def __len__(self):
        return len(self.paths)

    def item_paths(self):
        """List the files of the items."""
        return self.paths

    def __getitem__(self, index):
        photo = self.photo(index, lambda: open_photo(self.paths[index]),
                           Augmentation.draw(self.opt, self.rng(index)), 3)
        lightness, colors = split_lab(photo[None])
        return {"A": lightness[0], "B": colors[0], "A_paths": self.paths[index], "B_paths": self.paths[index]}

    def input_item(self, index):
        """Load only the lightness: ``A`` and ``A_paths``."""
        item = self[index]
        return {"A": item["A"], "A_paths": item["A_paths"]}

    def check(self, indices=None, inputs_only=()):
        """Check that files are readable and not smaller than ``--crop_size``.

        Args:
            indices: items to check; None means all.
            inputs_only: further items to check.

        Returns:
            A :class:`data.check.CheckReport`.

        Raises:
            ValueError: if files are unusable. The message lists them.
        """
        indices = range(len(self)) if indices is None else indices
        paths = sorted({self.paths[i] for i in (*indices, *inputs_only)})
        return check_images(paths, lambda path, size: size_error(size, self.opt), full=self.full_check)

"""Inputs without targets: all images below one folder, or those of one phase of a data set."""
import os

from compression.runtime.lab import colorizes, split_lab
from options.ugc_options import sides

from .base_dataset import Augmentation, BaseDataset, item_size, require_image_channels, size_error
from .check import check_images
from .ids import IdMaps
from .image_folder import make_dataset, open_photo
from .phase_folders import phase_folder


class SingleDataset(BaseDataset):
    """The images below ``--dataroot``, as side A of items without a side B.

    In the root of a data set they are those of ``--phase``: of ``<phase>A`` (or ``<phase>_A``; B with
    ``--direction BtoA``) or ``<phase>``.

    With ``--label_nc``, they are label maps, with instance maps unless ``--no_instance``.

    Args:
        opt: the options.
        flag, instance_flag: the flags of the folders, for messages.
    """

    def __init__(self, opt, flag="--dataroot", instance_flag="--input_instance"):
        BaseDataset.__init__(self, opt)
        if not self.root:
            raise ValueError("--dataset_mode single needs --dataroot, a folder of images")
        self.maps = None
        if getattr(opt, "label_nc", 0):
            self.maps = IdMaps.below(opt, self.root, getattr(opt, "input_instance", None), flag,
                                    instance_flag)
            self.folder = self.maps.folder
            self.A_paths = self.maps.labels
        else:
            require_image_channels("--input_nc", opt.input_nc)
            side, _ = sides(opt)
            layouts = (f"{opt.phase}{side}", f"{opt.phase}_{side}", opt.phase)
            if os.path.isdir(self.root):
                self.folder = phase_folder(self.root, opt.phase, layouts, flag)
            self.A_paths = make_dataset(self.folder, opt.max_dataset_size, flag)

    def __len__(self):
        return len(self.A_paths)

    def item_paths(self):
        """List the files."""
        return self.A_paths

    def __getitem__(self, index):
        augmentation = Augmentation.draw(self.opt, self.rng(index))
        image = (self.maps.load if self.maps else self._load_image)(index, augmentation)
        return {"A": image, "A_paths": self.A_paths[index]}

    def _load_image(self, index, augmentation):
        """Load an image, or for colorization its lightness: (C, H, W) in [-1, 1]."""
        is_lightness = colorizes(self.opt.input_nc, self.opt.output_nc)
        photo = self.photo(index, lambda: open_photo(self.A_paths[index]), augmentation,
                           3 if is_lightness else self.opt.input_nc)
        return split_lab(photo[None])[0][0] if is_lightness else photo

    def input_item(self, index):
        """Load an item, which has only an input."""
        return self[index]

    def check(self):
        """Check that every file is readable and not smaller than ``--crop_size``, and that ids are in range.

        Returns:
            A :class:`data.check.CheckReport`.

        Raises:
            ValueError: if files are unusable. The message lists them.
        """
        if self.maps:
            return self.maps.check(self.full_check)
        report = check_images(self.A_paths, lambda path, size: size_error(size, self.opt),
                              full=self.full_check)
        for size, count in report.sizes.items():
            report.item_sizes[item_size(size, self.opt)] += count
        return report

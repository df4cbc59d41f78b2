"""Inputs without targets: all images below one folder."""
from .base_dataset import Augmentation, BaseDataset, size_error, transform
from .check import check_images
from .image_folder import make_dataset, open_photo


class SingleDataset(BaseDataset):
    """The images below ``--dataroot``, as side A of items without a side B."""

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        if not self.root:
            raise ValueError("--dataset_mode single needs --dataroot, a folder of images")
        self.A_paths = make_dataset(self.root, opt.max_dataset_size)
        self.channels = opt.output_nc if opt.direction == "BtoA" else opt.input_nc

    def __len__(self):
        return len(self.A_paths)

    def __getitem__(self, index):
        image = open_photo(self.A_paths[index])
        augmentation = Augmentation.draw(self.opt, self.rng(index))
        return {"A": transform(image, self.opt, augmentation, self.channels), "A_paths": self.A_paths[index]}

    def input_item(self, index):
        """Load an item, which has only an input."""
        return self[index]

    def check(self):
        """Check that every file is readable and not smaller than ``--crop_size``.

        Returns:
            A :class:`data.check.CheckReport`.

        Raises:
            ValueError: if files are unusable. The message lists them.
        """
        return check_images(self.A_paths, lambda path, size: size_error(size, self.opt), full=self.full_check)

"""Inputs alone."""

from PIL import Image

from data.base_dataset import BaseDataset, get_transform
from data.image_folder import make_dataset


class SingleDataset(BaseDataset):
    """``<dataroot>/*``."""

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        self.A_paths = sorted(make_dataset(opt.dataroot, opt.max_dataset_size))
        channels = opt.output_nc if opt.direction == "BtoA" else opt.input_nc
        self.transform = get_transform(opt, grayscale=channels == 1)

    def __getitem__(self, index):
        path = self.A_paths[index]
        return {"A": self.transform(Image.open(path).convert("RGB")), "A_paths": path}

    def __len__(self):
        return len(self.A_paths)

"""Pairs, side by side in one file."""

import os

from PIL import Image

from data.base_dataset import BaseDataset, get_params, get_transform
from data.image_folder import make_dataset


class AlignedDataset(BaseDataset):
    """``<dataroot>/<phase>/*``, A at the left and B at the right."""

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        self.dir_AB = os.path.join(opt.dataroot, opt.phase)
        self.AB_paths = sorted(make_dataset(self.dir_AB, opt.max_dataset_size))
        assert opt.load_size >= opt.crop_size
        self.input_nc, self.output_nc = opt.input_nc, opt.output_nc
        if opt.direction == "BtoA":
            self.input_nc, self.output_nc = opt.output_nc, opt.input_nc

    def __getitem__(self, index):
        path = self.AB_paths[index]
        pair = Image.open(path).convert("RGB")
        width, height = pair.size
        sides = {"A": pair.crop((0, 0, width // 2, height)), "B": pair.crop((width // 2, 0, width, height))}
        params = get_params(self.opt, sides["A"].size)
        channels = {"A": self.input_nc, "B": self.output_nc}
        images = {
            side: get_transform(self.opt, params, grayscale=channels[side] == 1)(image)
            for side, image in sides.items()
        }
        return {**images, "A_paths": path, "B_paths": path}

    def __len__(self):
        return len(self.AB_paths)

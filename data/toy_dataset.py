"""The built-in data set: label maps of small landscapes and their photos, made on the fly, no files needed."""
import zlib

import numpy as np
import torch

from options.ugc_options import sides

from .base_dataset import BaseDataset
from .toy_world import CLASSES, COLOURS, instance_map, label_map, photo, random_scene

_DEFAULTS = {"load_size": 64, "crop_size": 64, "netG": "resnet_9blocks", "ngf": 16, "ndf": 16, "batch_size": 4,
             "num_threads": 0, "label_ratio": 0.25, "display_winsize": 192, "n_epochs": 7, "n_epochs_decay": 7,
             "print_freq": 256, "display_freq": 1024, "update_html_freq": 1024, "save_epoch_freq": 2}
_LABEL_DEFAULTS = {"label_nc": len(CLASSES), "ngf": 8, "num_upsampling_layers": "normal"}


class ToyDataset(BaseDataset):
    """A is the color-coded label map, B the photo, both of side ``--crop_size``; with ``--label_nc`` A is the map of class
    ids (and instance ids), (1 or 2, H, W) integers.

    Item i of a phase is a function of seed, phase and i; there is no augmentation, for every landscape is another one.
    """

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the numbers of images, and defaults that fit the whole pipeline into minutes on two CPU cores."""
        parser.add_argument("--toy_train_images", type=int, default=512, help="images in the phase train")
        parser.add_argument("--toy_test_images", type=int, default=64, help="images in every other phase")
        known = {action.dest for action in parser._actions}
        defaults = _DEFAULTS
        if parser.get_default("label_nc"):  # the family of --netG takes label maps
            defaults = {**_DEFAULTS, **_LABEL_DEFAULTS, "netG": parser.get_default("netG")}
        parser.set_defaults(**{key: value for key, value in defaults.items() if key in known})
        return parser

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        for flag in ("toy_train_images", "toy_test_images"):
            if getattr(opt, flag) < 1:
                raise ValueError(f"--{flag} must be at least 1, got {getattr(opt, flag)}")
        images = opt.toy_train_images if opt.phase == "train" else opt.toy_test_images
        self.length = int(min(images, opt.max_dataset_size))
        self.label_nc = getattr(opt, "label_nc", 0)
        if self.label_nc and (self.label_nc < len(CLASSES) or opt.direction != "AtoB"):
            raise ValueError(f"--dataset_mode toy has {len(CLASSES)} classes and label maps as input, got --label_nc "
                             f"{self.label_nc}, --direction {opt.direction}")
        self.channels = (opt.input_nc, opt.output_nc) if opt.direction == "AtoB" else (opt.output_nc, opt.input_nc)
        if not set(self.channels) <= {1, 3}:
            raise ValueError(f"--dataset_mode toy makes images of 1 or 3 channels, got --input_nc {opt.input_nc}, "
                             f"--output_nc {opt.output_nc}")

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return {**self._side(index, "A"), **self._side(index, "B")}

    def input_item(self, index):
        """The input side alone; its target is not made."""
        return self._side(index, sides(self.opt)[0])

    def label_ids(self, index):
        """Class ids of one item, (H, W) long; toy_world.CLASSES names them."""
        return torch.from_numpy(label_map(self._scene(index), self.opt.crop_size)).long()

    def name(self, index):
        """What an item is called, as if it were a file."""
        return f"toy_{self.opt.phase}_{index:05d}.png"

    def check(self, indices=None, inputs_only=()):
        """There are no files to check."""

    def _scene(self, index):
        if not 0 <= index < self.length:
            raise IndexError(f"item {index} of {self.length}")
        seed = getattr(self.opt, "seed", 0)
        return random_scene(np.random.default_rng((seed, zlib.crc32(self.opt.phase.encode()), index)))

    def _side(self, index, side):
        scene, size = self._scene(index), self.opt.crop_size
        path = self.name(index)
        if side == "A" and self.label_nc:
            maps = [label_map(scene, size), *([] if self.opt.no_instance else [instance_map(scene, size)])]
            return {"A": torch.from_numpy(np.stack(maps).astype(np.int32)), "A_paths": path}
        image = COLOURS[label_map(scene, size)] if side == "A" else photo(scene, size)
        return {side: _tensor(image, self.channels["AB".index(side)]), f"{side}_paths": path}


def _tensor(image, channels):
    """(H, W, 3) uint8 -> (channels, H, W) in [-1, 1]; one channel is luminance."""
    image = torch.from_numpy(image).float().permute(2, 0, 1) / 127.5 - 1
    if channels == 1:
        image = (image * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)
    return image

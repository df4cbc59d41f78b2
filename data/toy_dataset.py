"""The built-in data set: label maps and photos of small landscapes, generated on the fly without files."""
import os
import zlib
from collections import Counter

import numpy as np
import torch

from compression.runtime.numbers import integer
from options.ugc_options import sides

from .base_dataset import Augmentation, BaseDataset
from .cache import Budget, ImageCache, caching_processes
from .check import CheckReport
from .toy_scene import random_scene
from .toy_world import CLASSES, COLORS, instance_map, label_map, photo

_DEFAULTS = {"load_size": 64, "crop_size": 64, "display_winsize": 192, "label_ratio": 0.25,
             "netG": "resnet_9blocks", "ngf": 16, "ndf": 16, "batch_size": 4, "num_threads": 0,
             "n_epochs": 7, "n_epochs_decay": 7, "print_freq": 256, "display_freq": 1024,
             "update_html_freq": 1024, "save_epoch_freq": 2}
_LABEL_DEFAULTS = {"label_nc": len(CLASSES), "ngf": 8, "num_upsampling_layers": "normal"}


class ToyDataset(BaseDataset):
    """Color-coded label maps (A) and photos (B) of random landscapes, ``--crop_size`` pixels wide and high.

    With ``--label_nc``, A holds class ids and, unless ``--no_instance``, instance ids: (1 or 2, H, W)
    integers.

    A landscape is a function of seed, phase, and index. The only augmentation is a horizontal flip
    (``--no_flip``).
    """

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the numbers of images. Set defaults with which all stages take minutes on two CPU cores."""
        parser.add_argument("--toy_train_images", type=integer(1, 10 ** 6), default=512,
                            help="images in the phase train")
        parser.add_argument("--toy_test_images", type=integer(1, 10 ** 6), default=64,
                            help="images in every other phase")
        defaults = dict(_DEFAULTS)
        if parser.get_default("label_nc"):  # the family of --netG takes label maps
            defaults |= {**_LABEL_DEFAULTS, "netG": parser.get_default("netG")}
        existing = {action.dest for action in parser._actions}
        parser.set_defaults(**{key: value for key, value in defaults.items() if key in existing})
        return parser

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        for flag in ("toy_train_images", "toy_test_images"):
            if getattr(opt, flag) < 1:
                raise ValueError(f"--{flag} must be at least 1, got {getattr(opt, flag)}")
        images = opt.toy_train_images if opt.phase == "train" else opt.toy_test_images
        self.length = int(min(images, opt.max_dataset_size))
        self.cache = ImageCache(Budget(getattr(opt, "cache", "auto"), caching_processes(opt)))
        self.label_nc = getattr(opt, "label_nc", 0)
        if self.label_nc and (self.label_nc < len(CLASSES) or opt.direction != "AtoB"):
            raise ValueError(f"--dataset_mode toy has {len(CLASSES)} classes and label maps as input, got "
                             f"--label_nc {self.label_nc}, --direction {opt.direction}")
        input_side, target_side = sides(opt)
        self.channels = {input_side: opt.input_nc, target_side: opt.output_nc}
        if not set(self.channels.values()) <= {1, 3}:
            raise ValueError(f"--dataset_mode toy makes images of 1 or 3 channels, got --input_nc "
                             f"{opt.input_nc}, --output_nc {opt.output_nc}")

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        flip = Augmentation.draw(self.opt, self.rng(index)).flip
        return {**self._side(index, "A", flip), **self._side(index, "B", flip)}

    def input_item(self, index):
        """Generate only the input of an item."""
        input_side, _ = sides(self.opt)
        return self._side(index, input_side, Augmentation.draw(self.opt, self.rng(index)).flip)

    def label_ids(self, index):
        """Generate the class ids of an item, (H, W) int64; ``toy_world.CLASSES`` has their names."""
        return torch.from_numpy(label_map(self._scene(index), self.opt.crop_size)).long()

    def item_paths(self):
        """List the names of the items in the form of file names."""
        return [self._path(index) for index in range(len(self))]

    def item_names(self):
        """List the names of the items."""
        return [path.removesuffix(".png") for path in self.item_paths()]

    def _path(self, index):
        return f"toy_{self.opt.phase}_{index:05d}.png"

    def check(self, indices=None, inputs_only=()):
        """Report the size of the images; there are no files to check."""
        size = self.opt.crop_size
        return CheckReport(item_sizes=Counter({(size, size): len(self)}))

    def _scene(self, index):
        if not 0 <= index < self.length:
            raise IndexError(f"item {index} of {self.length}")
        seed = getattr(self.opt, "seed", 0)
        return random_scene(np.random.default_rng((seed, zlib.crc32(os.fsencode(self.opt.phase)), index)))

    def _side(self, index, side, flip):
        """Generate one side of an item and its path."""
        image = self.cache.get((index, side), lambda: self._render(index, side))
        if flip:
            image = image[:, ::-1]
        if side == "A" and self.label_nc:
            tensor = torch.from_numpy(image.transpose(2, 0, 1).astype(np.int32))
        else:
            tensor = _to_tensor(image, self.channels[side])
        return {side: tensor, f"{side}_paths": self._path(index)}

    def _render(self, index, side):
        """Render one side of an item, (H, W, C) uint8: colors, or with --label_nc the ids."""
        scene = self._scene(index)
        size = self.opt.crop_size
        if side == "B":
            return photo(scene, size)
        if not self.label_nc:
            return COLORS[label_map(scene, size)]
        maps = [label_map(scene, size)]
        if not self.opt.no_instance:
            maps.append(instance_map(scene, size))
        return np.stack(maps, -1)


def _to_tensor(image, channels):
    """Convert an image, (H, W, 3) uint8, to (channels, H, W) in [-1, 1]; one channel is the luminance."""
    tensor = torch.from_numpy(np.ascontiguousarray(image)).float().permute(2, 0, 1) / 127.5 - 1
    if channels == 1:
        tensor = (tensor * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)
    return tensor

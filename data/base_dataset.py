"""What all data sets share: reading images, and the crops and flips of ``--preprocess``."""
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from util.util import image2tensor

PREPROCESS = ("resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "scale_shortside",
              "scale_shortside_and_crop", "fixed", "none")


class BaseDataset(Dataset, ABC):
    """A data set is built from the options and yields dictionaries."""

    def __init__(self, opt):
        self.opt = opt
        self.root = opt.dataroot
        self.epoch = 0
        if opt.preprocess not in PREPROCESS:
            raise ValueError(f"--preprocess {opt.preprocess} is unknown, known: {', '.join(PREPROCESS)}")
        if "resize" in opt.preprocess and "crop" in opt.preprocess and opt.load_size < opt.crop_size:
            raise ValueError(f"--load_size {opt.load_size} must be at least --crop_size {opt.crop_size}")

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the data set's flags and change defaults; returns the parser."""
        return parser

    @abstractmethod
    def __len__(self):
        """The number of items."""

    @abstractmethod
    def __getitem__(self, index):
        """One item: a dictionary of tensors in [-1, 1] and paths."""

    def set_epoch(self, epoch):
        """Augmentation is a function of seed, epoch and index."""
        self.epoch = epoch

    def rng(self, index):
        """The random choices of one item."""
        return np.random.default_rng((self.opt.seed, self.epoch, index))

    def check(self):
        """Look at all files before training; ValueError lists what is wrong."""


@dataclass(frozen=True)
class Augmentation:
    """The random part of ``--preprocess``: where to crop, as fractions of the free space, and whether to flip."""

    x: float
    y: float
    flip: bool

    @staticmethod
    def draw(opt, rng):
        """Draw it; test.py turns flips off."""
        x, y, flip = rng.random(3)
        return Augmentation(float(x), float(y), not opt.no_flip and bool(flip < 0.5))


def transform(image, opt, augmentation, channels):
    """A PIL image -> (channels, H, W) in [-1, 1], by ``--preprocess`` with upstream's meaning."""
    return image2tensor(resize_and_cut(image, opt, augmentation), channels)


def resize_and_cut(image, opt, augmentation, method=Image.BICUBIC):
    """The geometry of ``--preprocess``: scale, crop and flip a PIL image."""
    width, height = image.size
    if "resize" in opt.preprocess:
        image = image.resize((opt.load_size, opt.load_size), method)
    elif "scale_width" in opt.preprocess and not (width == opt.load_size and height >= opt.crop_size):
        image = image.resize((opt.load_size, int(max(opt.load_size * height / width, opt.crop_size))), method)
    elif "scale_shortside" in opt.preprocess:
        scale = opt.load_size / min(width, height)
        image = image.resize((round(width * scale), round(height * scale)), method)
    elif opt.preprocess == "fixed":
        image = image.resize((opt.crop_size, round(opt.crop_size / opt.aspect_ratio)), method)
    if "crop" in opt.preprocess:
        width, height = image.size
        if min(width, height) < opt.crop_size:
            raise ValueError(f"an image of {width}x{height} is smaller than --crop_size {opt.crop_size}")
        left = round(augmentation.x * (width - opt.crop_size))
        top = round(augmentation.y * (height - opt.crop_size))
        image = image.crop((left, top, left + opt.crop_size, top + opt.crop_size))
    if opt.preprocess == "none":
        width, height = (max(4, round(side / 4) * 4) for side in image.size)
        image = image if (width, height) == image.size else image.resize((width, height), method)
    return image.transpose(Image.FLIP_LEFT_RIGHT) if augmentation.flip else image

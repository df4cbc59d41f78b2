"""The base class of data sets, and the scaling, crops, and flips of ``--preprocess``."""
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from compression import to_tensor
from compression.runtime.text import unknown

from .cache import Budget, ImageCache, caching_processes
from .image_folder import pixel_limit
from .item_names import files_by_name

PREPROCESS = ("resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "scale_shortside",
              "scale_shortside_and_crop", "fixed", "none", "whole")


class BaseDataset(Dataset, ABC):
    """A data set that is built from the options and returns dictionaries."""

    def __init__(self, opt):
        self.opt = opt
        self.root = opt.dataroot
        self.folder = opt.dataroot  # the folder that the names of items are relative to
        self.epoch = 0
        self.repetition = 0
        self.cache = ImageCache(Budget(cache_mode(opt), caching_processes(opt)))
        self.item_sizes = Counter()  # of (width, height) after --preprocess, see data.check
        if opt.preprocess not in PREPROCESS:
            raise ValueError(unknown(f"--preprocess {opt.preprocess}", opt.preprocess, PREPROCESS))
        if "resize" in opt.preprocess and "crop" in opt.preprocess and opt.load_size < opt.crop_size:
            raise ValueError(f"--load_size {opt.load_size} must be at least --crop_size {opt.crop_size}")
        if opt.preprocess == "fixed" and not opt.aspect_ratio > 0:
            raise ValueError(f"--aspect_ratio must be above 0, got {opt.aspect_ratio}")

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the flags of the data set and change defaults.

        Returns:
            The parser.
        """
        return parser

    @abstractmethod
    def __len__(self):
        """The number of items."""

    @abstractmethod
    def __getitem__(self, index):
        """Load one item: a dictionary of tensors in [-1, 1] and paths."""

    def describe_count(self):
        """Describe the number of images for the user."""
        return str(len(self))

    def item_paths(self):
        """List the path of the input of each item, as in the items."""
        return []

    def input_paths(self):
        """List the paths of all inputs, labeled and unlabeled."""
        return self.item_paths()

    def item_names(self):
        """List the names of the items: the paths of their inputs below `folder`, without extension.

        Raises:
            ValueError: if several items have the same name.
        """
        return list(files_by_name(self.item_paths(), self.folder, "--dataroot"))

    def set_epoch(self, epoch):
        """Choose the augmentations of an epoch; they are a function of seed, epoch, index, and repetition."""
        self.epoch = epoch

    def set_repetition(self, repetition):
        """Choose the augmentations of items that were loaded `repetition` times before in this epoch."""
        self.repetition = repetition

    def photo(self, key, load, augmentation, channels):
        """Apply ``--preprocess`` to an image that `load` reads unless it is kept in memory.

        Args:
            key: names the image within the data set.
            load: reads it, as a PIL image.
            augmentation: the :class:`Augmentation`.
            channels: number of channels of the result.

        Returns:
            (channels, H, W) in [-1, 1].
        """
        scaled = self.cache.get(key, lambda: scale(load(), self.opt))
        return to_tensor(crop_flip(scaled, self.opt, augmentation), channels)[0]

    def rng(self, index):
        """Build the random generator of one item in the current epoch."""
        repetition = (self.repetition,) if self.repetition else ()
        return np.random.default_rng((self.opt.seed, self.epoch, index, *repetition))

    @property
    def full_check(self):
        """Whether the check also decodes all files of a large data set, and not only their headers."""
        return getattr(self.opt, "check_data", False)

    def check(self):
        """Check all files before training.

        Returns:
            A :class:`data.check.CheckReport`, or None if there are no files.

        Raises:
            ValueError: if files are unusable. The message lists them.
        """


@dataclass(frozen=True)
class Augmentation:
    """The random part of ``--preprocess``.

    Attributes:
        x, y: position of the crop, as fractions of the space around it, in [0, 1).
        flip: whether to flip the image horizontally.
    """

    x: float
    y: float
    flip: bool

    @staticmethod
    def draw(opt, rng):
        """Sample an augmentation. ``--no_flip`` turns flips off."""
        x, y, flip = rng.random(3)
        return Augmentation(float(x), float(y), not opt.no_flip and bool(flip < 0.5))


def require_image_channels(flag, channels):
    """Raise a ValueError unless images can have this number of channels; `flag` set it."""
    if channels not in (1, 3):
        raise ValueError(f"{flag} {channels}: images have 1 channel (gray) or 3 (RGB); for label maps, "
                         "--label_nc sets the number of classes; for the two channels of colors, "
                         "--dataset_mode colorization (or --base_dataset_mode)")


def cache_mode(opt):
    """Return the value of ``--cache``: outside training, where each image is used once, it is off."""
    return getattr(opt, "cache", "auto") if getattr(opt, "isTrain", False) else "off"


def scaled_size(size, opt):
    """Compute the (width, height) after the scaling of ``--preprocess`` and before its crop.

    Args:
        size: (width, height) of the image.
        opt: the options.
    """
    width, height = size
    if "resize" in opt.preprocess:
        return opt.load_size, opt.load_size
    if "scale_width" in opt.preprocess and not (width == opt.load_size and height >= opt.crop_size):
        return opt.load_size, int(max(opt.load_size * height / width, opt.crop_size))
    if "scale_shortside" in opt.preprocess:
        scale = opt.load_size / min(width, height)
        return round(width * scale), round(height * scale)
    if opt.preprocess == "fixed":
        return opt.crop_size, round(opt.crop_size / opt.aspect_ratio)
    if opt.preprocess == "none":
        return tuple(max(4, round(side / 4) * 4) for side in size)
    return size


def item_size(size, opt):
    """Compute the (width, height) after ``--preprocess`` of an image of the given (width, height)."""
    return (opt.crop_size, opt.crop_size) if "crop" in opt.preprocess else scaled_size(size, opt)


def size_error(size, opt):
    """Explain why ``--preprocess`` cannot process an image of the given (width, height); None if it can."""
    width, height = scaled_size(size, opt)
    if "crop" in opt.preprocess and min(width, height) < opt.crop_size:
        return f"an image of {width}x{height} is smaller than --crop_size {opt.crop_size}"
    if width * height > pixel_limit():
        return (f"an image of {size[0]}x{size[1]} becomes one of {width}x{height} by --preprocess "
                f"{opt.preprocess}, more than --max_image_pixels {pixel_limit()}")
    return None


def scale_crop_flip(image, opt, augmentation, method=Image.BICUBIC):
    """Scale, crop, and flip a PIL image as ``--preprocess`` says; the arguments are those of both parts."""
    return crop_flip(scale(image, opt, method), opt, augmentation)


def scale(image, opt, method=Image.BICUBIC):
    """Scale a PIL image as ``--preprocess`` says.

    Args:
        image: the image.
        opt: the options.
        method: PIL's resampling method.

    Raises:
        ValueError: if the image is too small or would become too large.
    """
    error = size_error(image.size, opt)
    if error:
        raise ValueError(error)
    scaled = scaled_size(image.size, opt)
    return image.resize(scaled, method) if scaled != image.size else image


def crop_flip(image, opt, augmentation):
    """Crop and flip a scaled PIL image as ``--preprocess`` and the :class:`Augmentation` say."""
    if "crop" in opt.preprocess:
        width, height = image.size
        left = round(augmentation.x * (width - opt.crop_size))
        top = round(augmentation.y * (height - opt.crop_size))
        image = image.crop((left, top, left + opt.crop_size, top + opt.crop_size))
    return image.transpose(Image.FLIP_LEFT_RIGHT) if augmentation.flip else image

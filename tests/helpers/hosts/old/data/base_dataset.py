"""The base class of data sets, and how images become tensors."""

import random
from abc import ABC, abstractmethod

import numpy as np
import torch
from PIL import Image
from torch.utils import data


class BaseDataset(data.Dataset, ABC):
    """A data set knows its options and its root."""

    def initialize(self, opt):
        self.opt = opt
        self.root = opt.dataroot

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add flags and change defaults; returns the parser."""
        return parser

    @abstractmethod
    def __len__(self):
        return 0

    @abstractmethod
    def __getitem__(self, index):
        """A dict of the item."""


def get_params(opt, size):
    """A random crop and flip for an image of `size` (width, height)."""
    width, height = size
    if opt.preprocess == "resize_and_crop":
        width = height = opt.load_size
    elif opt.preprocess == "scale_width_and_crop":
        width, height = opt.load_size, opt.load_size * height // width
    x, y = (random.randint(0, max(0, side - opt.crop_size)) for side in (width, height))
    return {"crop_pos": (x, y), "flip": random.random() > 0.5}


def get_transform(opt, params=None, grayscale=False, method=Image.BICUBIC, convert=True):
    """A function from images to tensors in [-1, 1]; made of lambdas, as the host's."""
    steps = [lambda image: image.convert("L")] if grayscale else []
    if "resize" in opt.preprocess:
        steps.append(lambda image: image.resize((opt.load_size, opt.load_size), method))
    elif "scale_width" in opt.preprocess:
        steps.append(lambda image: scale_width(image, opt.load_size, opt.crop_size, method))
    if "crop" in opt.preprocess:
        x, y = (params or get_params(opt, (opt.load_size, opt.load_size)))["crop_pos"]
        steps.append(lambda image: image.crop((x, y, x + opt.crop_size, y + opt.crop_size)))
    if opt.preprocess == "none":
        steps.append(lambda image: image.resize([max(4, round(side / 4) * 4) for side in image.size], method))
    if not opt.no_flip and (params["flip"] if params else random.random() > 0.5):
        steps.append(lambda image: image.transpose(Image.FLIP_LEFT_RIGHT))
    if convert:
        steps.append(to_tensor)
    return lambda image: apply(steps, image)


def apply(steps, image):
    """One step after the other."""
    for step in steps:
        image = step(image)
    return image


def scale_width(image, width, least_height, method):
    """To a width, keeping the ratio, but at least so high."""
    if image.size[0] == width and image.size[1] >= least_height:
        return image
    return image.resize((width, int(max(width * image.size[1] / image.size[0], least_height))), method)


def to_tensor(image):
    """(C, H, W) in [-1, 1]."""
    pixels = np.atleast_3d(np.asarray(image, dtype=np.float32))
    return torch.from_numpy(pixels.transpose(2, 0, 1) / 127.5 - 1)

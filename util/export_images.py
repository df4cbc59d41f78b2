"""The images that an exported file is calibrated with and compared on."""
from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from compression.elastic.generator import ElasticGenerator
from compression.runtime.images import padded_size
from compression.runtime.lab import displayed
from data import create_dataset
from data.held_out import evenly_spaced, training_inputs
from data.image_folder import IMG_EXTENSIONS
from data.single_dataset import SingleDataset
from options.ugc_options import sides

from .util import save_image, tensor2im


class Items:
    """Inputs of a data set, as a file takes them: (1, C, H, W) images in [-1, 1], or maps of ids.

    Args:
        dataset: the data set.
        limit: maximum number of items, at equal distances.
        indices: the items to choose from; None is all of them.
        source: describes the data set for the user.
    """

    def __init__(self, dataset, limit: int, source: str, indices: Sequence[int] | None = None):
        self.dataset = dataset
        indices = range(len(dataset)) if indices is None else indices
        self.indices = [indices[i] for i in evenly_spaced(len(indices), limit)]
        self.source = source

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def names(self) -> list[str]:
        """Names of the items."""
        names = self.dataset.item_names()
        return [names[index] for index in self.indices]

    def __iter__(self) -> Iterator[Tensor]:
        side, _ = sides(self.dataset.opt)
        load = getattr(self.dataset, "input_item", self.dataset.__getitem__)
        for index in self.indices:
            item = load(index)
            yield item[side if side in item else "A"][None]


def folder_items(opt: Namespace, path: str, flag: str, limit: int) -> Items:
    """Find the inputs in a folder, or one input.

    Raises:
        ValueError: if there are none, or a label map has no instance map.
    """
    opt = copy.copy(opt)
    source = Path(path)
    is_file = source.is_file()
    if is_file and source.suffix.lower() not in IMG_EXTENSIONS:
        raise ValueError(f"{flag} {path}: is not an image file ({', '.join(IMG_EXTENSIONS)})")
    opt.dataroot = str(source.parent if is_file else source)
    opt.dataset_mode, opt.max_dataset_size = "single", float("inf")
    instances = getattr(opt, "input_instance", None)
    if instances and Path(instances).is_file():
        opt.input_instance = str(Path(instances).parent)
    dataset = SingleDataset(opt, flag)
    indices = None
    if is_file:
        indices = [i for i, found in enumerate(dataset.item_paths()) if Path(found) == source]
    return Items(dataset, limit, path, indices)


def compared_items(opt: Namespace) -> Items:
    """Find the images that the file is compared with PyTorch on: ``--input``, or those of ``--phase``."""
    if opt.input:
        return folder_items(opt, opt.input, "--input", opt.images)
    dataset = create_dataset(opt).dataset
    return Items(dataset, opt.images, f"phase {opt.phase} of {opt.dataroot or 'the toy data set'}")


def calibration_items(opt: Namespace) -> Items:
    """Find the inputs that int8 is calibrated with: those of ``--calibration``, or of the training.

    Raises:
        ValueError: if there are none.
    """
    limit = opt.calibration_images
    if opt.calibration:
        return folder_items(opt, opt.calibration, "--calibration", limit)
    if opt.input and not opt.dataroot:
        raise ValueError("--precision int8 is calibrated with inputs of the training; with --input, name "
                         "them with --calibration FOLDER or --dataroot")
    try:
        images = training_inputs(opt, limit, 1)
    except ValueError as error:
        raise ValueError(f"--precision int8 is calibrated with inputs of the training, which are not found "
                         f"({error}); --calibration FOLDER names others") from None
    return Items(images.dataset, limit, f"the training set of {opt.dataroot or 'the toy data set'}",
                 images.indices)


def resize_item(item: Tensor, net: ElasticGenerator, size: tuple[int, int] | None, pads: bool) -> Tensor:
    """Scale an item to a size that the file takes; ids by their nearest neighbors.

    Args:
        item: (1, C, H, W).
        net: the generator.
        size: the size that the file takes; None is any, or with `pads` False any that the generator takes.
        pads: whether the file pads.
    """
    own = (item.shape[-2], item.shape[-1])
    size = size or (own if pads else padded_size(net, own))
    if own == size:
        return item
    if item.is_floating_point():
        return F.interpolate(item, size, mode="bilinear", antialias=True, align_corners=False).clamp(-1, 1)
    return F.interpolate(item.double(), size, mode="nearest").to(item.dtype)


def batches(items: Sequence[Tensor], count: int) -> list[Tensor]:
    """Form batches of `count` items of equal size; items are repeated where there are too few."""
    groups: dict[torch.Size, list[Tensor]] = {}
    for item in items:
        groups.setdefault(item.shape, []).append(item)
    formed = []
    for group in groups.values():
        for start in range(0, len(group), count):
            part = [group[(start + i) % len(group)] for i in range(count)]
            formed.append(torch.cat(part))
    return formed


def save_pair(folder: Path, name: str, condition: Tensor, images: dict[str, Tensor]) -> None:
    """Save images of one item in the layout of the results of test.py; colors of colorization as RGB.

    Args:
        folder: the folder of the page.
        name: name of the item.
        condition: the input of the generator.
        images: label -> (1, C, H, W) in [-1, 1].
    """
    for label, image in images.items():
        path = folder / "images" / f"{name}_{label}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(tensor2im(displayed(condition, image)), path)

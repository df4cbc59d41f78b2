"""Label maps with photos, in the layouts of pix2pixHD and SPADE."""
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from compression.runtime.text import name_some
from options.precedence import parse_known
from options.ugc_options import add_once

from .base_dataset import Augmentation, BaseDataset, size_error, resize_and_cut, transform
from .check import check_images
from .image_folder import make_dataset, open_image, open_photo

UNKNOWN = 255  # of a label file: the class after the last, with --contain_dontcare_label


@dataclass(frozen=True)
class Layout:
    """Where the files are: paths in pairing order; `instances` or `images` may be missing. `first_class` is the id in
    the files that is class 0 (ids below it are unknown)."""

    name: str
    labels: list
    images: list | None
    instances: list | None
    first_class: int = 0


class LabelDataset(BaseDataset):
    """A is the map of class ids (and instance ids), (1 or 2, H, W) integers; B is the photo.

    Layouts, found by what is there: ``--label_dir --image_dir --instance_dir`` (SPADE's custom); a Cityscapes download
    (``gtFine``, ``leftImg8bit``); ``<phase>_label``, ``<phase>_img`` and ``<phase>_inst`` (pix2pixHD, COCO-Stuff,
    facades); ``<phase>annot`` beside ``<phase>`` (CamVid); an ADE20K tree (``*_train_*.png`` beside ``.jpg``). Files are
    paired by natural order, and must have equal stems unless ``--no_pairing_check``. One crop and flip serves all; ids
    are never interpolated.
    """

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the folders; a Cityscapes download sets upstream's size, an ADE20K tree its classes."""
        add = parser.add_argument
        add("--label_dir", type=str, help="folder of label maps")
        add("--image_dir", type=str, help="folder of their photos")
        add("--instance_dir", type=str, help="folder of their instance maps")
        add("--no_pairing_check", action="store_true", help="pair files by order, whatever their names")
        add_once(parser, "--aspect_ratio", type=float, default=1.0, help="width / height for --preprocess fixed")
        root = parse_known(parser).dataroot
        if root and os.path.isdir(os.path.join(root, "gtFine")):
            parser.set_defaults(preprocess="fixed", load_size=512, crop_size=512, aspect_ratio=2.0, label_nc=35)
        elif root and not _has_label_folders(root) and _ade20k_files(root, "train"):
            parser.set_defaults(label_nc=150, contain_dontcare_label=True, no_instance=True)
        return parser

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        if opt.direction != "AtoB":
            raise ValueError("--dataset_mode label has label maps as input, --direction BtoA does not exist for it")
        if not opt.label_nc:
            raise ValueError("--dataset_mode label needs --label_nc, the number of classes; images as input are "
                             "--dataset_mode aligned")
        if opt.aspect_ratio <= 0:
            raise ValueError(f"--aspect_ratio must be above 0, got {opt.aspect_ratio}")
        self.layout = find_layout(opt)
        count = int(min(opt.max_dataset_size, len(self.layout.labels)))
        self.labels = self.layout.labels[:count]
        self.images = self._paired(self.layout.images, "photos")
        if self.images is None:
            raise ValueError(f"--dataset_mode label: no photos beside {Path(self.labels[0]).parent}; give --image_dir")
        self.instances = None if opt.no_instance else self._paired(self.layout.instances, "instance maps")
        if self.instances is None and not opt.no_instance:
            raise ValueError(f"--dataset_mode label: no instance maps beside {Path(self.labels[0]).parent} "
                             f"({opt.phase}_inst, or --instance_dir); with --no_instance none are used")

    def _paired(self, paths, what):
        if paths is None:
            return None
        if len(paths) != len(self.layout.labels):
            raise ValueError(f"--dataset_mode label: {len(self.layout.labels)} label maps, but {len(paths)} {what}")
        wrong = [f"{Path(a).name} with {Path(b).name}" for a, b in zip(self.layout.labels, paths) if stem(a) != stem(b)]
        if wrong and not self.opt.no_pairing_check:
            raise ValueError(f"--dataset_mode label: {len(wrong)} label maps meet {what} of another name: "
                             f"{name_some(wrong, 5, separator='; ')}; --no_pairing_check pairs them all the same")
        return paths[:len(self.labels)]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        augmentation = Augmentation.draw(self.opt, self.rng(index))
        return {**self.input_item(index), "B_paths": self.images[index],
                "B": transform(open_photo(self.images[index]), self.opt, augmentation, self.opt.output_nc)}

    def input_item(self, index):
        """The label map (and instance map) alone: ``{"A", "A_paths"}``."""
        augmentation = Augmentation.draw(self.opt, self.rng(index))
        maps = [class_ids(self.labels[index], self.opt, self.layout.first_class)]
        if self.instances:
            maps.append(read_ids(self.instances[index]))
        cut = [np.asarray(resize_and_cut(Image.fromarray(m), self.opt, augmentation, Image.NEAREST)) for m in maps]
        return {"A": torch.from_numpy(np.stack(cut)), "A_paths": self.labels[index]}

    def name(self, index):
        """What an item is called: the path of its label map."""
        return self.labels[index]

    def label_ids(self, index):
        """Class ids of one item, (H, W), at the resolution of its file."""
        return class_ids(self.labels[index], self.opt, self.layout.first_class)

    def check(self, indices=None, inputs_only=()):
        """Every file is readable and not smaller than ``--crop_size``, ids are in range, and label map, instance map and
        photo are of one size.

        Args:
            indices: items to look at in full; None is all.
            inputs_only: items whose input alone is looked at.
        """
        sizes, seen = {}, set()

        def look(path, size):
            sizes[path] = size
            if path in labels:
                seen.update(np.unique(class_ids(path, self.opt, self.layout.first_class)).tolist())
            elif path in maps:
                read_ids(path)
            return size_error(size, self.opt)

        indices = list(range(len(self)) if indices is None else indices)
        inputs = sorted({*indices, *inputs_only})
        labels = {self.labels[i] for i in inputs}
        maps = labels | ({self.instances[i] for i in inputs} if self.instances else set())
        found = check_images([*sorted(maps), *(self.images[i] for i in indices)], look, full=self.full_check, ids=maps)
        pairs = [(self.labels[i], self.images[i]) for i in indices]
        pairs += [(self.labels[i], self.instances[i]) for i in inputs] if self.instances else []
        wrong = [f"{a} is {sizes[a][0]}x{sizes[a][1]}, {b} is {sizes[b][0]}x{sizes[b][1]}" for a, b in pairs
                 if sizes[a] != sizes[b]]
        if wrong:
            raise ValueError(f"{len(wrong)} label maps are not of their partner's size (width x height): "
                             f"{name_some(wrong, 5, separator='; ')}")
        unused = sorted(set(range(self.opt.label_nc)) - seen)
        found.remarks.append(f"classes: {len(seen)} of {self.opt.label_nc + self.opt.contain_dontcare_label}; not there: "
                             f"{', '.join(map(str, unused)) or 'none'}")
        return found


def read_ids(path):
    """A label or instance file -> (H, W) int32 ids; 8 and 16 bits, gray or with a palette.

    Raises:
        ValueError: if it cannot be read or has several channels.
    """
    ids = np.asarray(open_image(path))
    if ids.dtype.kind == "f":
        raise ValueError(f"{path}: a map of ids has whole numbers, got floating-point values")
    if ids.ndim != 2:
        raise ValueError(f"{path}: a map of ids has one channel, got {ids.shape[2]} (colors instead of class ids?)")
    return ids.astype(np.int32)


def class_ids(path, opt, first_class=0):
    """A label file -> (H, W) int32 classes, 0 to ``label_nc - 1``, or ``label_nc`` for unknown.

    Raises:
        ValueError: for an id out of range; names file, id and range.
    """
    ids = read_ids(path)
    unknown = (ids == UNKNOWN) | (ids < first_class) if opt.contain_dontcare_label else np.zeros_like(ids, dtype=bool)
    ids = np.where(unknown, opt.label_nc, ids - first_class).astype(np.int32)
    worst = int(ids.max()) if ids.max() > opt.label_nc - (not opt.contain_dontcare_label) else int(ids.min())
    if not 0 <= worst < opt.label_nc + opt.contain_dontcare_label:
        note = "" if opt.contain_dontcare_label else "; --contain_dontcare_label reads 255 as unknown"
        raise ValueError(f"{path}: class id {worst + first_class}, --label_nc {opt.label_nc} allows {first_class} to "
                         f"{opt.label_nc - 1 + first_class}{note}")
    return ids


def find_layout(opt):
    """The files of ``--phase``.

    Raises:
        ValueError: if no known layout is there, or folders are empty.
    """
    if opt.label_dir:
        if not opt.image_dir:
            raise ValueError("--label_dir needs --image_dir, the folder of the photos")
        return Layout("custom", _files(opt.label_dir), _files(opt.image_dir),
                      _files(opt.instance_dir) if opt.instance_dir else None)
    root, phase = opt.dataroot, opt.phase
    if not root or not os.path.isdir(root):
        raise ValueError(f"--dataroot: {root} is no folder" if root else
                         "--dataset_mode label needs --dataroot or --label_dir")
    if os.path.isdir(os.path.join(root, "gtFine")):
        split = "val" if phase == "test" else phase  # the labels of Cityscapes' test split are not public
        fine = make_dataset(os.path.join(root, "gtFine", split))
        return Layout("cityscapes", _natural(p for p in fine if p.endswith("_labelIds.png")),
                      _files(os.path.join(root, "leftImg8bit", split)),
                      _natural(p for p in fine if p.endswith("_instanceIds.png")))
    if _has_label_folders(root):
        instances = os.path.join(root, f"{phase}_inst")
        return Layout("folders", _files(os.path.join(root, f"{phase}_label")), _files(os.path.join(root, f"{phase}_img")),
                      _files(instances) if os.path.isdir(instances) else None)
    if os.path.isdir(os.path.join(root, f"{phase}annot")):
        return Layout("camvid", _files(os.path.join(root, f"{phase}annot")), _files(os.path.join(root, phase)), None)
    labels = _ade20k_files(root, phase)
    if labels:
        photos = [str(Path(p).with_suffix(".jpg")).replace("/annotations/", "/images/") for p in labels]
        return Layout("ade20k", labels, photos, None, first_class=1)
    raise ValueError(f"--dataroot: {root} holds no labels: wanted {phase}_label and {phase}_img, gtFine and leftImg8bit "
                     f"(Cityscapes), {phase}annot (CamVid), or an ADE20K tree; or give --label_dir and --image_dir")


def _has_label_folders(root):
    return any(Path(root).glob("*_label"))


def _ade20k_files(root, phase):
    split = "_val_" if phase in ("val", "test") else "_train_"
    return _natural(str(p) for p in Path(root).rglob("*.png") if split in p.name)


def _files(folder):
    return _natural(make_dataset(folder))


def _natural(paths):
    return sorted(paths, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)])


def stem(path):
    """What files of one item share: the name without extension and what Cityscapes appends."""
    return re.sub(r"_(gtFine|gtCoarse|leftImg8bit)(_.*)?$", "", Path(path).stem)

"""Label maps with photos, in the layouts of pix2pixHD and SPADE."""
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compression.runtime.text import name_some
from options.earlier_runs import training_folders
from options.precedence import parse_known

from .base_dataset import Augmentation, BaseDataset, item_size, size_error
from .check import check_images
from .ids import class_ids, read_ids, require_equal_sizes, stack_maps
from .image_folder import make_dataset, open_photo
from .item_names import common_folder, files_by_name, find_partners
from .label_files import of_kind
from .phase_folders import cityscapes_split


@dataclass(frozen=True)
class Layout:
    """The files of a data set.

    Attributes:
        name: name of the layout.
        labels: paths of the label maps.
        images: paths of the photos, in the order of `labels`.
        instances: paths of the instance maps in the same order; None if there are none.
        first_class: the id in the files that is class 0. Smaller ids are unknown.
    """

    name: str
    labels: list
    images: list
    instances: list | None
    first_class: int = 0


class LabelDataset(BaseDataset):
    """Label maps (A) with photos (B).

    A holds class ids and, unless ``--no_instance``, instance ids: (1 or 2, H, W) integers. B is the photo.
    The layout of the files is detected:

    - ``--label_dir``, ``--image_dir``, ``--instance_dir`` (SPADE's custom data set)
    - a Cityscapes download (``gtFine``, ``leftImg8bit``)
    - ``<phase>_label``, ``<phase>_img``, ``<phase>_inst`` (pix2pixHD, COCO-Stuff, facades)
    - ``<phase>annot`` and ``<phase>`` (CamVid)
    - an ADE20K tree (``*_train_*.png`` with a ``.jpg`` of the same stem)

    Files are paired by their names in these folders (:mod:`data.item_names`), or in natural order with
    ``--no_pairing_check``. All maps of an item get the same crop and flip; ids are never interpolated.
    """

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the flags of the folders. Cityscapes sets upstream's size, ADE20K its classes."""
        add = parser.add_argument
        add("--label_dir", type=str,
            help="folder of the label maps; {phase} in these three folders is replaced by the phase")
        add("--image_dir", type=str, help="folder of the photos")
        add("--instance_dir", type=str, help="folder of the instance maps")
        add("--no_pairing_check", action="store_true", help="pair files by order, even if their names differ")
        root = parse_known(parser).dataroot
        if root and os.path.isdir(os.path.join(root, "gtFine")):
            parser.set_defaults(preprocess="fixed", load_size=512, crop_size=512, aspect_ratio=2.0,
                                label_nc=35)
        elif root and not _has_label_folders(root) and _ade20k_labels(root, "train"):
            parser.set_defaults(label_nc=150, contain_dontcare_label=True, no_instance=True)
        return parser

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        if opt.direction != "AtoB":
            raise ValueError("--dataset_mode label has label maps as input, --direction BtoA does not exist "
                             "for it")
        if not opt.label_nc:
            raise ValueError("--dataset_mode label needs --label_nc, the number of classes; for images as "
                             "input, use --dataset_mode aligned")
        self.layout = find_layout(opt)
        self.folder = common_folder(self.layout.labels)
        count = int(min(opt.max_dataset_size, len(self.layout.labels)))
        self.labels = self.layout.labels[:count]
        self.images = self._match(self.layout.images, "photos")
        self.instances = None if opt.no_instance else self._match(self.layout.instances, "instance maps")
        if self.instances is None and not opt.no_instance:
            raise ValueError(f"--dataset_mode label: no instance maps for {Path(self.labels[0]).parent} "
                             f"({opt.phase}_inst, or --instance_dir); --no_instance uses none")

    def _match(self, paths, kind):
        """Find the partner of every label map in `paths`; return those of this data set. None stays None."""
        if paths is None:
            return None
        labels = self.layout.labels
        if self.opt.no_pairing_check and len(paths) == len(labels):
            return paths[:len(self.labels)]
        names = files_by_name(labels, self.folder, "--dataset_mode label: label maps in")
        folder = common_folder(paths)
        files = files_by_name(paths, folder, f"--dataset_mode label: {kind} in")
        partners = find_partners(names, files, f"--dataset_mode label: {kind} in {folder}")
        unmatched = [str(path) for name, path in names.items() if name not in partners]
        unused = [str(files[name]) for name in files.keys() - partners.values()]
        if unmatched or unused:
            raise ValueError(f"--dataset_mode label: of {len(labels)} label maps and {len(paths)} {kind}, "
                             f"{len(unmatched) + len(unused)} have no partner of their name: "
                             f"{name_some([*sorted(unmatched), *sorted(unused)], 10)}. Rename, add, or "
                             "remove files; --no_pairing_check pairs equally many files by their order"
                             f"{_without_photos(self.opt) if kind == 'photos' else ''}")
        return [str(files[partners[name]]) for name in names][:len(self.labels)]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        augmentation = Augmentation.draw(self.opt, self.rng(index))
        item = self.input_item(index)
        item["B"] = self.photo((index, "B"), lambda: open_photo(self.images[index]), augmentation,
                               self.opt.output_nc)
        item["B_paths"] = self.images[index]
        return item

    def input_item(self, index):
        """Load only the label map and the instance map: ``A`` and ``A_paths``."""
        augmentation = Augmentation.draw(self.opt, self.rng(index))
        maps = [self.cache.get((index, "A"), lambda: self.label_ids(index))]
        if self.instances:
            maps.append(self.cache.get((index, "instances"), lambda: read_ids(self.instances[index])))
        return {"A": stack_maps(maps, self.opt, augmentation), "A_paths": self.labels[index]}

    def item_paths(self):
        """List the label maps."""
        return self.labels

    def label_ids(self, index):
        """Load the class ids of an item, (H, W), at the resolution of the file."""
        return class_ids(self.labels[index], self.opt, self.layout.first_class)

    def check(self, indices=None, inputs_only=()):
        """Check that files are readable, not smaller than ``--crop_size``, and fit together.

        All ids must be in range, and the maps and the photo of an item must have the same size.

        Args:
            indices: items of which all files are checked; None means all.
            inputs_only: items of which only the maps are checked.

        Returns:
            A :class:`data.check.CheckReport`.

        Raises:
            ValueError: if files are unusable. The message lists them.
        """
        indices = list(range(len(self)) if indices is None else indices)
        with_maps = sorted({*indices, *inputs_only})
        labels = {self.labels[i] for i in with_maps}
        instances = {self.instances[i] for i in with_maps} if self.instances else set()
        sizes = {}
        classes = set()

        def read_maps(path, size):
            sizes[path] = size
            if path in labels:
                classes.update(np.unique(class_ids(path, self.opt, self.layout.first_class)).tolist())
            elif path in instances:
                read_ids(path)
            return size_error(size, self.opt)

        maps = labels | instances
        photos = [self.images[i] for i in indices]
        report = check_images([*sorted(maps), *photos], read_maps, full=self.full_check, ids=maps)
        partners = [(self.labels[i], self.images[i]) for i in indices]
        if self.instances:
            partners += [(self.labels[i], self.instances[i]) for i in with_maps]
        require_equal_sizes(partners, sizes)
        report.item_sizes.update(item_size(sizes[self.labels[i]], self.opt) for i in with_maps)
        unused = sorted(set(range(self.opt.label_nc)) - classes)
        n_classes = self.opt.label_nc + self.opt.contain_dontcare_label
        report.details.append(f"classes: {len(classes)} of {n_classes}; absent: "
                              f"{', '.join(map(str, unused)) or 'none'}")
        return report


def find_layout(opt):
    """Find the files of ``--phase``.

    Returns:
        The :class:`Layout`.

    Raises:
        ValueError: if no known layout is found, or folders are empty.
    """
    if opt.label_dir:
        return _custom_layout(opt)
    root = opt.dataroot
    if not root:
        raise ValueError("--dataset_mode label needs --dataroot or --label_dir")
    if not os.path.isdir(root):
        raise ValueError(f"--dataroot: {root} is not a folder")
    if os.path.isdir(os.path.join(root, "gtFine")):
        return _cityscapes_layout(root, opt)
    if _has_label_folders(root):
        return _folders_layout(root, opt)
    annotations = os.path.join(root, f"{opt.phase}annot")
    if os.path.isdir(annotations):
        labels = _list_maps(annotations, "labelIds")
        return Layout("camvid", labels, _list_photos(os.path.join(root, opt.phase), opt), None)
    labels = _ade20k_labels(root, opt.phase)
    if labels:
        photos = [str(Path(path).with_suffix(".jpg")).replace("/annotations/", "/images/") for path in labels]
        return Layout("ade20k", labels, photos, None, first_class=1)
    raise ValueError(f"--dataroot: {root} holds no labels: expected {opt.phase}_label and {opt.phase}_img, "
                     f"gtFine and leftImg8bit (Cityscapes), {opt.phase}annot (CamVid), or an ADE20K tree; or "
                     "set --label_dir and --image_dir")


def _custom_layout(opt):
    """The layout of ``--label_dir``."""
    if not opt.image_dir:
        raise ValueError(f"--label_dir needs --image_dir, the folder of the photos{_without_photos(opt)}")
    if opt.phase != "train" and "{phase}" not in opt.label_dir:
        _forbid_training_images(opt)
    folders = (opt.label_dir, opt.image_dir, opt.instance_dir or "")
    label_dir, image_dir, instance_dir = (folder.replace("{phase}", opt.phase) for folder in folders)
    labels = _list_maps(label_dir, "labelIds", "--label_dir")
    photos = _list_photos(image_dir, opt, "--image_dir")
    instances = _list_maps(instance_dir, "instanceIds", "--instance_dir") if instance_dir else None
    return Layout("custom", labels, photos, instances)


def _without_photos(opt):
    """Say in test.py how to translate label maps that have no photos, as the end of a message."""
    return "; test.py --input FOLDER translates label maps without photos" if hasattr(opt, "input") else ""


def _forbid_training_images(opt):
    """Check that ``--label_dir`` is not that of the training, which has no other phase.

    Raises:
        ValueError: if it is.
    """
    of_training = training_folders(opt).get("label_dir")
    if of_training and os.path.realpath(of_training) == os.path.realpath(opt.label_dir):
        raise ValueError(f"--label_dir {opt.label_dir} has the training images of --name {opt.name}, so that "
                         f"there are no images of the phase {opt.phase}. Put {{phase}} into --label_dir and "
                         "--image_dir (such as data/{phase}_labels), give the folders of held-out images to "
                         "search.py, test.py, and evaluate.py, or use the training images on purpose with "
                         "--phase train (in train.py: --eval_phase train)")


def _cityscapes_layout(root, opt):
    split = cityscapes_split(opt.phase)
    folder = os.path.join(root, "gtFine", split)
    labels = _list_maps(folder, "labelIds")
    photos = _list_photos(os.path.join(root, "leftImg8bit", split), opt)
    instances = _natural_order(path for path in make_dataset(folder) if path.endswith("_instanceIds.png"))
    return Layout("cityscapes", labels, photos, instances or None)


def _folders_layout(root, opt):
    """The layout of ``<phase>_label``, ``<phase>_img``, and ``<phase>_inst``."""
    phase = opt.phase
    labels = _list_maps(os.path.join(root, f"{phase}_label"), "labelIds")
    photos = _list_photos(os.path.join(root, f"{phase}_img"), opt)
    folder = os.path.join(root, f"{phase}_inst")
    instances = _list_maps(folder, "instanceIds") if os.path.isdir(folder) else None
    return Layout("folders", labels, photos, instances)


def _has_label_folders(root):
    return any(Path(root).glob("*_label"))


def _ade20k_labels(root, phase):
    split = "_val_" if phase in ("val", "test") else "_train_"
    return _natural_order(str(path) for path in Path(root).rglob("*.png") if split in path.name)


def _list_photos(folder, opt, flag="--dataroot"):
    try:
        return _natural_order(make_dataset(folder, flag=flag))
    except ValueError as error:
        raise ValueError(f"{error}{_without_photos(opt)}") from None


def _list_maps(folder, kind, flag="--dataroot"):
    """List the maps in a folder; of the kinds of maps of Cityscapes, those of one kind."""
    return _natural_order(of_kind(make_dataset(folder, flag=flag), kind, flag, folder))


def _natural_order(paths):
    """Sort paths so that numbers in them are compared by value."""
    def key(path):
        parts = re.split(r"(\d+)", path)
        parts[1::2] = map(int, parts[1::2])
        return parts

    return sorted(paths, key=key)

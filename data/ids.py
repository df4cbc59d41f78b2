"""Maps of class ids and instance ids: read files, find those of a folder, and check them."""
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from compression.runtime.images import check_lossless, stored_maximum, unscaled
from compression.runtime.text import name_some

from .base_dataset import item_size, scale_crop_flip, size_error
from .check import check_images
from .image_folder import make_dataset, open_image, opened
from .item_names import files_by_name, find_partners
from .label_files import label_files, of_kind

UNKNOWN = 255  # in label files; becomes class label_nc with --contain_dontcare_label


def read_ids(path):
    """Read a label map or an instance map of 8 or 16 bits, in gray or with a palette.

    Returns:
        The ids, (H, W) int32.

    Raises:
        ValueError: if the file cannot be read, has several channels, or has been compressed with losses.
    """
    with opened(path) as image:
        maximum = stored_maximum(image)
    image = open_image(path)
    try:
        check_lossless(image)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    ids = np.asarray(image)
    if ids.dtype.kind == "f":
        raise ValueError(f"{path}: a map of ids has whole numbers, got floating-point values")
    if ids.ndim != 2:
        raise ValueError(f"{path}: a map of ids has one channel, got {ids.shape[2]} (colors instead of class "
                         "ids?)")
    return unscaled(ids, maximum).astype(np.int32)


def first_class_of(path):
    """Return the id in a file that is class 0: 1 in ADE20K (``ADE_train_...``, ``ADE_val_...``), else 0."""
    return 1 if re.match(r"ADE_(train|val)_\d+$", Path(path).stem) else 0


def class_ids(path, opt, first_class=0):
    """Read the class ids of a label map.

    Args:
        path: the file.
        opt: the options.
        first_class: the id in the file that is class 0. Smaller ids are unknown.

    Returns:
        The classes, (H, W) int32: 0 to ``label_nc - 1``, and ``label_nc`` for unknown with
        ``--contain_dontcare_label``.

    Raises:
        ValueError: if an id is out of range. The message names file, id, and range.
    """
    file_ids = read_ids(path)
    ids = file_ids - first_class
    n_classes = opt.label_nc
    if opt.contain_dontcare_label:
        unknown = (file_ids == UNKNOWN) | (file_ids < first_class)
        ids = np.where(unknown, opt.label_nc, ids).astype(np.int32)
        n_classes = opt.label_nc + 1
    out_of_range = int(ids.max()) if ids.max() >= n_classes else int(ids.min())
    if not 0 <= out_of_range < n_classes:
        hint = "" if opt.contain_dontcare_label else "; --contain_dontcare_label reads 255 as unknown"
        raise ValueError(f"{path}: class id {out_of_range + first_class}, --label_nc {opt.label_nc} allows "
                         f"{first_class} to {opt.label_nc - 1 + first_class}{hint}")
    return ids


class IdMaps:
    """Label maps and, unless ``--no_instance``, instance maps, as inputs without photos.

    Args:
        opt: the options.
        folder: the folder that the names of items are relative to.
        labels: paths of the label maps.
        instances: paths of the instance maps in the same order, or None.
    """

    def __init__(self, opt, folder, labels, instances):
        self.opt = opt
        self.folder = folder
        self.labels = labels
        self.instances = instances

    @classmethod
    def below(cls, opt, folder, instance_dir, flag, instance_flag):
        """Find the maps of a folder, or of one phase in the root of a data set.

        Of Cityscapes' files, ``*_labelIds.png`` and ``*_instanceIds.png`` are used; otherwise every image is
        a label map, and its instance map has the same relative path, without extension, in `instance_dir`.

        Args:
            opt: the options.
            folder: the folder.
            instance_dir: the folder of the instance maps, or None.
            flag, instance_flag: the flags that named the folders, for messages.

        Raises:
            ValueError: if the folder has no images, or a label map has no instance map.
        """
        folder, labels = label_files(folder, opt.phase, flag)
        labels = labels[:int(min(opt.max_dataset_size, len(labels)))]
        return cls.paired(opt, folder, labels, instance_dir, flag, instance_flag)

    @classmethod
    def paired(cls, opt, folder, labels, instance_dir, flag, instance_flag):
        """Find the instance maps of label maps by their paths below `folder`, unless ``--no_instance``.

        The arguments are those of :meth:`below`, and the paths of the label maps.

        Raises:
            ValueError: if a label map has no instance map.
        """
        if opt.no_instance:
            return cls(opt, folder, labels, None)
        if instance_dir:
            paths = of_kind(make_dataset(instance_dir, flag=instance_flag), "instanceIds", instance_flag,
                            instance_dir)
        else:
            instance_dir = folder
            paths = [path for path in make_dataset(folder, flag=flag) if path.endswith("_instanceIds.png")]
        names = files_by_name(labels, folder, flag)
        instances = files_by_name(paths, instance_dir, instance_flag)
        partners = find_partners(names, instances, instance_flag)
        missing = [str(path) for name, path in names.items() if name not in partners]
        if missing:
            raise ValueError(f"{flag}: {len(missing)} label maps have no instance map: "
                             f"{name_some(missing, 5)}; {instance_flag} names the folder of instance maps "
                             "with the same names, --no_instance is for a generator without them")
        return cls(opt, folder, labels, [str(instances[partners[name]]) for name in names])

    def load(self, index, augmentation):
        """Load the maps of an item after ``--preprocess``: (1 or 2, H, W) int32. Ids are not interpolated."""
        maps = [class_ids(self.labels[index], self.opt, first_class_of(self.labels[index]))]
        if self.instances:
            maps.append(read_ids(self.instances[index]))
        return stack_maps(maps, self.opt, augmentation)

    def check(self, full):
        """Check that the maps are readable, in range, large enough, and of their partner's size.

        Args:
            full: decode the files of a large data set as well.

        Returns:
            A :class:`data.check.CheckReport`.

        Raises:
            ValueError: if files are unusable. The message lists them.
        """
        instances = set(self.instances or ())
        sizes = {}

        def read_map(path, size):
            sizes[path] = size
            if path in instances:
                read_ids(path)
            else:
                class_ids(path, self.opt, first_class_of(path))
            return size_error(size, self.opt)

        paths = [*self.labels, *sorted(instances)]
        report = check_images(paths, read_map, full=full, ids=paths)
        if self.instances:
            require_equal_sizes(zip(self.labels, self.instances, strict=True), sizes)
        report.item_sizes.update(item_size(sizes[path], self.opt) for path in self.labels)
        return report


def stack_maps(maps, opt, augmentation):
    """Apply ``--preprocess`` to maps of ids (H, W) and stack them: (len(maps), H', W') int32."""
    images = [scale_crop_flip(Image.fromarray(ids), opt, augmentation, Image.NEAREST) for ids in maps]
    return torch.from_numpy(np.stack([np.asarray(image) for image in images]))


def require_equal_sizes(partners, sizes):
    """Raise a ValueError if a label map and its partner differ in size.

    Args:
        partners: pairs of paths, of a label map and of its photo or instance map.
        sizes: path -> (width, height).
    """
    errors = [f"{a} is {sizes[a][0]}x{sizes[a][1]}, {b} is {sizes[b][0]}x{sizes[b][1]}"
              for a, b in partners if sizes[a] != sizes[b]]
    if errors:
        raise ValueError(f"{len(errors)} label maps are not of their partner's size (width x height): "
                         f"{name_some(errors, 5, separator='; ')}; scale the photos to the size of the maps, "
                         "or the maps to that of the photos without interpolation (nearest neighbor)")

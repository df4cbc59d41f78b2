"""Pairs of images: A and B side by side in one file, or in two folders with equal names."""
import os
from pathlib import Path
from statistics import median

from compression.runtime.text import name_some
from options.ugc_options import sides

from .base_dataset import Augmentation, BaseDataset, item_size, require_image_channels, size_error
from .check import check_images
from .image_folder import make_dataset, open_photo, opened
from .item_names import files_by_name, find_partners


class AlignedDataset(BaseDataset):
    """Image pairs in one of two layouts.

    - one file per pair: ``<dataroot>/<phase>/*``, side A on the left and side B on the right
    - two folders: ``<dataroot>/<phase>A/*`` and ``<phase>B/*`` (or ``_A`` and ``_B``)

    Both sides get the same crop and flip. With two folders, :meth:`input_item` does not open the target; with
    one file per pair, it only uses the input half.

    Attributes:
        A_paths, B_paths: the files of both sides; the same ones if a file holds a pair.
        two_folders: the layout.
        channels: number of channels of each side.
    """

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the flag for pair files of an unusual shape."""
        parser.add_argument("--no_pairing_check", action="store_true",
                            help="accept pair files that have the shape of single photos")
        return parser

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        if not self.root:
            raise ValueError("--dataset_mode aligned needs --dataroot, the folder of the pairs")
        if not os.path.isdir(self.root):
            raise ValueError(f"--dataroot: {self.root} is not a folder")
        folder = os.path.join(self.root, opt.phase)
        with_sides = [start for start in (folder, folder + "_")  # "_" is pix2pixHD's spelling
                      if os.path.isdir(start + "A") and os.path.isdir(start + "B")]
        self.two_folders = bool(with_sides) and not os.path.isdir(folder)
        if self.two_folders:
            folder = with_sides[0]
        has_pairs = self.two_folders or os.path.isdir(folder)
        if not has_pairs and os.path.isdir(os.path.join(self.root, f"{opt.phase}_label")):
            raise ValueError(f"--dataroot: {self.root} holds label maps ({opt.phase}_label); --label_nc sets "
                             "the number of classes, and --label_nc 0 is for image pairs")
        if self.two_folders:
            self.A_paths, self.B_paths = _match_files(folder, opt.max_dataset_size)
        else:
            self.A_paths = self.B_paths = make_dataset(folder, opt.max_dataset_size)
        input_side, target_side = sides(opt)
        self.folder = folder + input_side if self.two_folders else folder
        self.channels = {input_side: opt.input_nc, target_side: opt.output_nc}
        require_image_channels("--input_nc", opt.input_nc)
        require_image_channels("--output_nc", opt.output_nc)

    def __len__(self):
        return len(self.A_paths)

    def __getitem__(self, index):
        augmentation = Augmentation.draw(self.opt, self.rng(index))
        return {"A": self._load(index, "A", augmentation), "B": self._load(index, "B", augmentation),
                "A_paths": self.A_paths[index], "B_paths": self.B_paths[index]}

    def input_item(self, index):
        """Load only the input: ``A`` and ``A_paths``, or ``B`` and ``B_paths`` with ``--direction BtoA``."""
        side, _ = sides(self.opt)
        augmentation = Augmentation.draw(self.opt, self.rng(index))
        return {side: self._load(index, side, augmentation), f"{side}_paths": self._paths(side)[index]}

    def item_paths(self):
        """List the files of the inputs."""
        input_side, _ = sides(self.opt)
        return self._paths(input_side)

    def _paths(self, side):
        return self.A_paths if side == "A" else self.B_paths

    def _load(self, index, side, augmentation):
        """Load one side of a pair, (C, H, W) in [-1, 1]."""
        return self.photo((index, side), lambda: self._open(index, side), augmentation, self.channels[side])

    def _open(self, index, side):
        """Open one side of a pair as a PIL image."""
        image = open_photo(self._paths(side)[index], turn=self.two_folders)
        if self.two_folders:
            return image
        width, height = image.size
        middle = width // 2
        left = 0 if side == "A" else middle
        return image.crop((left, 0, left + middle, height))

    def check(self, indices=None, inputs_only=()):
        """Check that files are readable, not smaller than ``--crop_size``, and fit together.

        A file with a pair must have an even width, and not the shape of a single photo. The two files of a
        pair must have the same size, or, if they are resized to squares, the same orientation.

        Args:
            indices: pairs of which both sides are checked; None means all.
            inputs_only: pairs of which only the input is checked.

        Returns:
            A :class:`data.check.CheckReport`.

        Raises:
            ValueError: if files are unusable. The message lists them.
        """
        sizes = {}

        def record_size(path, size):
            width, height = size
            if width % 2 and not self.two_folders:
                return f"a pair image has an even width, got {width}x{height}"
            sizes[path] = size if self.two_folders else (width // 2, height)
            return size_error(sizes[path], self.opt)

        indices = range(len(self)) if indices is None else indices
        pairs = [(self.A_paths[i], self.B_paths[i]) for i in indices]
        input_side, _ = sides(self.opt)
        paths = {path for pair in pairs for path in pair} | {self._paths(input_side)[i] for i in inputs_only}
        report = check_images(sorted(paths), record_size, turn=self.two_folders, full=self.full_check)
        if not self.two_folders and not getattr(self.opt, "no_pairing_check", False):
            self._require_pairs(list(sizes.values()))
        errors = [f"{a} is {sizes[a][0]}x{sizes[a][1]}, {b} is {sizes[b][0]}x{sizes[b][1]}"
                  for a, b in pairs if self._differ(sizes[a], sizes[b])]
        if errors:
            remedy = ("turn one of both" if "resize" in self.opt.preprocess else
                      "scale one of both, or let --preprocess resize_and_crop scale both to --load_size")
            raise ValueError(f"{len(errors)} pairs differ in size (width x height, after EXIF rotation): "
                             f"{name_some(errors, 5, separator='; ')}; {remedy}")
        inputs = [self._paths(input_side)[i] for i in (*indices, *inputs_only)]
        report.item_sizes.update(item_size(sizes[path], self.opt) for path in inputs)
        return report

    def _require_pairs(self, halves):
        """Raise a ValueError if files that should hold pairs look like single photos.

        Their halves are then about twice as high as wide, or half as wide as those of another phase.

        Args:
            halves: (width, height) of the halves of the files.
        """
        ratios = [width / height for width, height in halves]
        narrow = [half for half, ratio in zip(halves, ratios, strict=True) if ratio <= 0.55]
        advice = ("a file holds A | B side by side. For single photos, use two folders, "
                  f"{self.opt.phase}A and {self.opt.phase}B, or --dataset_mode single; --no_pairing_check "
                  "cuts the files anyway")
        folder = Path(self.root) / self.opt.phase
        if 2 * len(narrow) > len(ratios):
            width, height = narrow[0]
            raise ValueError(f"--dataroot: {len(narrow)} of {len(ratios)} files in {folder} look like single "
                             f"photos, such as one of {2 * width}x{height} (width x height): {advice}")
        for phase in {"train", "val", "test"} - {self.opt.phase}:
            other = Path(self.root) / phase
            other_ratio = _usual_ratio(other)
            if ratios and other_ratio and 0.4 <= median(ratios) / other_ratio <= 0.6:
                raise ValueError(f"--dataroot: the files in {folder} are half as wide as those in {other}, "
                                 "in proportion to their height, so that they look like single photos: "
                                 f"{advice}")

    def _differ(self, size, other_size):
        """Whether the sizes of two sides do not fit together."""
        if "resize" in self.opt.preprocess:
            return size != other_size and size == other_size[::-1]
        return size != other_size


def _usual_ratio(folder, count=20):
    """Return the median of width / height of the halves of the first files of a folder; None without any."""
    ratios = []
    try:
        for path in make_dataset(folder, count):
            with opened(path) as image:
                ratios.append(image.width / 2 / image.height)
    except ValueError:  # no such folder, or a bad file, which the check of its phase reports
        pass
    return median(ratios) if ratios else None


def _match_files(folder, max_dataset_size):
    """Match the images of two folders by their paths in them, without extension.

    Args:
        folder: path of both folders without the final A or B.
        max_dataset_size: maximum number of pairs.

    Returns:
        The paths of side A and those of side B, in the same order.

    Raises:
        ValueError: if a file has no partner, or several files have the same name.
    """
    A_files = files_by_name(make_dataset(folder + "A"), folder + "A", "--dataroot")
    B_files = files_by_name(make_dataset(folder + "B"), folder + "B", "--dataroot")
    partners = find_partners(A_files, B_files, "--dataroot")
    unmatched = sorted({*A_files} - {*partners}) + sorted({*B_files} - {*partners.values()})
    if unmatched:
        raise ValueError(f"--dataroot: {len(unmatched)} files of {folder}A, {folder}B have no partner of "
                         f"equal stem: {name_some(unmatched, 10)}")
    names = sorted(A_files)[:int(min(max_dataset_size, len(A_files)))]
    return [str(A_files[name]) for name in names], [str(B_files[partners[name]]) for name in names]

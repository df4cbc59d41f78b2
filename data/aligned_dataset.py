"""Pairs of images: A and B side by side in one file, or in two folders under one stem."""
import os
import unicodedata
from collections import Counter
from pathlib import Path

from compression.runtime.text import name_some
from options.ugc_options import sides

from .base_dataset import Augmentation, BaseDataset, size_error, transform
from .check import check_images
from .image_folder import make_dataset, open_photo


class AlignedDataset(BaseDataset):
    """``<dataroot>/<phase>/*``, each file A | B; or ``<dataroot>/<phase>A/*`` and ``<phase>B/*`` (or ``_A``, ``_B``).

    One random crop and flip serves both sides. With two folders the target of an input that only :meth:`input_item`
    is asked for is never opened; with one file for both, only the input's half is used.
    """

    def __init__(self, opt):
        BaseDataset.__init__(self, opt)
        if not self.root:
            raise ValueError("--dataset_mode aligned needs --dataroot, the folder of the pairs")
        folder = os.path.join(self.root, opt.phase)
        if os.path.isdir(folder + "_A") and not os.path.isdir(folder + "A"):
            folder += "_"  # pix2pixHD's spelling
        self.split = not os.path.isdir(folder) and os.path.isdir(folder + "A") and os.path.isdir(folder + "B")
        if not os.path.isdir(self.root):
            raise ValueError(f"--dataroot: {self.root} is no folder")
        if self.split:
            self.A_paths, self.B_paths = self._matched(folder)
        else:
            self.A_paths = self.B_paths = make_dataset(folder, opt.max_dataset_size)
        self.channels = {"A": opt.input_nc, "B": opt.output_nc}
        if opt.direction == "BtoA":
            self.channels = {"A": opt.output_nc, "B": opt.input_nc}

    def _matched(self, folder):
        sides = [_by_stem(folder + side) for side in "AB"]
        single = sorted(sides[0].keys() ^ sides[1].keys())
        if single:
            raise ValueError(f"--dataroot: {len(single)} files of {folder}A, {folder}B have no partner of equal stem: "
                             f"{name_some(single, 10)}")
        stems = sorted(sides[0])[:int(min(self.opt.max_dataset_size, len(sides[0])))]
        return [sides[0][s] for s in stems], [sides[1][s] for s in stems]

    def __len__(self):
        return len(self.A_paths)

    def __getitem__(self, index):
        augmentation = Augmentation.draw(self.opt, self.rng(index))
        A, B = self._side(index, "A"), self._side(index, "B")
        return {"A": transform(A, self.opt, augmentation, self.channels["A"]),
                "B": transform(B, self.opt, augmentation, self.channels["B"]),
                "A_paths": self.A_paths[index], "B_paths": self.B_paths[index]}

    def input_item(self, index):
        """The input side alone: ``{"A", "A_paths"}``, or B's with ``--direction BtoA``."""
        side, _ = sides(self.opt)
        image = transform(self._side(index, side), self.opt, Augmentation.draw(self.opt, self.rng(index)),
                          self.channels[side])
        return {side: image, f"{side}_paths": (self.A_paths if side == "A" else self.B_paths)[index]}

    def _side(self, index, side):
        image = open_photo((self.A_paths if side == "A" else self.B_paths)[index], turn=self.split)
        if not self.split:
            middle = image.size[0] // 2
            image = image.crop((0, 0, middle, image.size[1]) if side == "A" else
                               (middle, 0, 2 * middle, image.size[1]))
        return image

    def check(self, indices=None, inputs_only=()):
        """Every file is readable and not smaller than ``--crop_size``; pair files have an even width, two files of a pair
        one size (or, where each is resized to a square, one orientation).

        Args:
            indices: pairs to look at in full; None is all.
            inputs_only: pairs whose input alone is looked at.
        """
        sizes = {}

        def look(path, size):
            if size[0] % 2 and not self.split:
                return f"a pair image has an even width, got {size[0]}x{size[1]}"
            sizes[path] = size if self.split else (size[0] // 2, size[1])
            return size_error(sizes[path], self.opt)

        indices = range(len(self)) if indices is None else indices
        inputs = {"A": self.A_paths, "B": self.B_paths}[sides(self.opt)[0]]
        paths = {p for i in indices for p in (self.A_paths[i], self.B_paths[i])} | {inputs[i] for i in inputs_only}
        found = check_images(sorted(paths), look, turn=self.split, full=self.full_check)
        pairs = {(self.A_paths[i], self.B_paths[i]): (sizes[self.A_paths[i]], sizes[self.B_paths[i]]) for i in indices}
        wrong = [f"{a} is {A[0]}x{A[1]}, {b} is {B[0]}x{B[1]}" for (a, b), (A, B) in pairs.items()
                 if A != B and ("resize" not in self.opt.preprocess or A == B[::-1])]
        if wrong:
            raise ValueError(f"{len(wrong)} pairs differ in size (width x height, after EXIF rotation): "
                             f"{name_some(wrong, 5, separator='; ')}")
        return found


def _by_stem(folder):
    """stem -> path of the images of a folder; ValueError if two share a stem. macOS and Linux spell accents apart."""
    paths = make_dataset(folder)
    stems = [unicodedata.normalize("NFC", Path(path).stem) for path in paths]
    double = sorted(stem for stem, count in Counter(stems).items() if count > 1)
    if double:
        raise ValueError(f"--dataroot: {len(double)} stems of {folder} are those of several files, so that their partner is "
                         f"not clear: {name_some(double, 10)}")
    return dict(zip(stems, paths))

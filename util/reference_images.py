"""The images that are scored and the real photos they are compared with: find, measure and load them."""
from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from compression import to_tensor
from compression.runtime.text import printable
from data.image_folder import make_dataset, open_photo, opened
from data.image_folder import size_of as stored_size
from data.item_names import files_by_name
from data.phase_folders import cityscapes_split, phase_folder
from options.ugc_options import sides


@dataclass(frozen=True)
class Reference:
    """The real photos of ``--reference``.

    Attributes:
        folder: the folder of the photos.
        files: {name: file}.
        side: the half of each image that is the photo (``left``, ``right``), None if all of it is.
    """

    folder: Path
    files: dict[str, Path]
    side: str | None = None


def find_reference(opt: Namespace) -> Reference:
    """Find the real photos of ``--reference``.

    Known layouts of a data root: ``leftImg8bit/<phase>``; ``<phase>_img``; ``<phase>B`` or ``<phase>_B``
    (``A`` with ``--direction BtoA``); ``<phase>`` next to ``<phase>annot``; ``<phase>`` with pairs A | B; an
    ADE20K tree. In any other folder, all images are photos.

    Raises:
        ValueError: if the folder does not exist or holds no image, if the data set has no such phase, or if
            several photos have the same name.
    """
    root = Path(opt.reference)
    flag = "--reference"
    if not root.is_dir():
        raise ValueError(f"{flag} {root}: no such folder")
    phase = opt.phase
    split = cityscapes_split(phase) if (root / "gtFine").is_dir() else phase
    target_side = sides(opt)[1]
    layouts = (f"leftImg8bit/{split}", f"{phase}_img", f"{phase}{target_side}", f"{phase}_{target_side}",
               phase)
    if (root / "annotations").is_dir() and (root / "images").is_dir():
        folder = root / "images"
        ending = "_val_" if phase in ("val", "test") else "_train_"
        paths = [path for path in make_dataset(folder, flag=flag) if ending in Path(path).name]
        if not paths:
            raise ValueError(f"{flag} {root}: {folder} holds no photo named *{ending}* for --phase {phase}")
    else:
        folder = phase_folder(root, phase, layouts, flag)
        paths = make_dataset(folder, flag=flag)
    has_pairs = folder == root / phase and not (root / f"{phase}annot").is_dir()
    side = {"A": "left", "B": "right"}[target_side] if has_pairs else None
    half = f", the {side} half of each" if side else ""
    print(f"{flag} {printable(root)}: {len(paths)} photos of {printable(folder)}{half}")
    return Reference(folder, files_by_name(paths, folder, flag), side)


def size_of(path: Path, side: str | None = None) -> tuple[int, int]:
    """Return the (height, width) of an image file, or of one half of it."""
    with opened(path) as image:
        width, height = stored_size(image, turn=side is None)
    return height, width // 2 if side else width


def size_text(size: tuple[int, int]) -> str:
    """Format (height, width) for a message."""
    return f"{size[1]}x{size[0]} (width x height)"


def load_image(path: Path, size: tuple[int, int] | None, side: str | None = None) -> Tensor:
    """Load an image file as a tensor (3, H, W) in [-1, 1].

    Args:
        path: the file.
        size: (height, width) to resize images of another size to (bicubic); None for its own size.
        side: the half of the file to load, ``left`` or ``right``; None for all of it.
    """
    image = _half(open_photo(path, turn=side is None), side)
    if size is not None and (image.height, image.width) != size:
        image = image.resize(size[::-1], Image.Resampling.BICUBIC)
    return to_tensor(image)[0]


def _half(image: Image.Image, side: str | None) -> Image.Image:
    middle = image.width // 2
    if side is None:
        return image
    if side == "left":
        return image.crop((0, 0, middle, image.height))
    return image.crop((middle, 0, 2 * middle, image.height))

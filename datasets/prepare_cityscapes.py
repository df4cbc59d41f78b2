"""Convert Cityscapes to the image pairs of Pix2Pix: photo | color-coded label map.

    python datasets/prepare_cityscapes.py --source datasets/cityscapes --out datasets/cityscapes_pix2pix

Cityscapes requires a login. Download gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip from
https://www.cityscapes-dataset.com and unpack both into one folder (--source):

    cityscapes/gtFine/train/aachen/*_gtFine_color.png, *_labelIds.png, *_instanceIds.png
    cityscapes/leftImg8bit/train/aachen/*_leftImg8bit.png

Pix2PixHD and SPADE read this folder directly (--dataset_mode label). For Pix2Pix, this script writes
<out>/<phase>/<stem>.png as the host's script does: the photo (A) on the left, the label map (B) on the right.
Train with --direction BtoA.
"""
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.runtime.numbers import SIDE
from compression.runtime.text import name_some, printable
from data.image_folder import open_photo
from data.pair_files import (
    ScriptParser,
    check_phases,
    complete_folders,
    require_new_folders,
    run_script,
    side_by_side,
)

PHOTO_SUFFIX = "_leftImg8bit.png"
LABEL_SUFFIX = "_gtFine_color.png"


def find_pairs(source, phase):
    """Find the pairs of a phase, sorted by stem.

    Returns:
        A list of (path of the photo, path of the label map).

    Raises:
        ValueError: if files are missing. The message names them.
    """
    photos = {path.name.removesuffix(PHOTO_SUFFIX): path
              for path in (source / "leftImg8bit" / phase).rglob(f"*{PHOTO_SUFFIX}")}
    labels = {path.name.removesuffix(LABEL_SUFFIX): path
              for path in (source / "gtFine" / phase).rglob(f"*{LABEL_SUFFIX}")}
    if not photos or not labels:
        missing = "photos (leftImg8bit)" if not photos else "label maps (gtFine, *_gtFine_color.png)"
        raise ValueError(f"--source {source}: no {missing} of phase {phase}; unpack both archives of "
                         "Cityscapes there")
    unmatched = sorted(photos.keys() ^ labels.keys())
    if unmatched:
        raise ValueError(f"--source {source}: {len(unmatched)} of phase {phase} have no partner: "
                         f"{name_some(unmatched, 10)}")
    return [(photos[stem], labels[stem]) for stem in sorted(photos)]


def pair_image(photo_path, label_path, size):
    """Make the image of a pair, 2 size x size: photo, label map."""
    photo = open_photo(photo_path, turn=False).resize((size, size), Image.Resampling.BICUBIC)
    label = open_photo(label_path, turn=False).resize((size, size), Image.Resampling.NEAREST)
    return side_by_side(photo, label)


def prepare(source, out, size=256, phases=("train", "val")):
    """Write the pairs of all phases; the folders appear only when all are complete.

    Args:
        source: the folder with gtFine and leftImg8bit.
        out: the output folder.
        size: width and height of each half, in pixels.
        phases: names of the phases.

    Returns:
        Phase -> number of pairs.

    Raises:
        ValueError: if arguments or files are wrong.
    """
    source = Path(source)
    out = Path(out)
    if size < 1:
        raise ValueError(f"--size must be at least 1, got {size}")
    phases = check_phases(phases)
    require_new_folders(out, phases)
    pairs = {phase: find_pairs(source, phase) for phase in phases}
    with complete_folders(out) as temporary:
        for phase in phases:
            folder = temporary / phase
            folder.mkdir()

            def write(pair, folder=folder):
                photo_path, label_path = pair
                image = pair_image(photo_path, label_path, size)
                image.save(folder / photo_path.name.replace(PHOTO_SUFFIX, ".png"))

            with ThreadPoolExecutor() as pool:
                list(pool.map(write, pairs[phase]))
    return {phase: len(pairs_of_phase) for phase, pairs_of_phase in pairs.items()}


def main(argv=None):
    """Write the pairs; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--source", required=True, help="folder with gtFine and leftImg8bit")
    parser.add_argument("--out", required=True, help="folder for the pairs, the --dataroot of Pix2Pix")
    parser.add_argument("--size", type=SIDE, default=256,
                        help="width and height of each half, in pixels (default: 256)")
    parser.add_argument("--phases", nargs="+", default=["train", "val"],
                        help="phases to prepare (default: train and val)")
    args = parser.parse_args(argv)

    def write():
        counts = prepare(args.source, args.out, args.size, args.phases)
        for phase, count in counts.items():
            print(f"{phase}: {count} pairs in {printable(Path(args.out) / phase)}")

    return run_script(write)


if __name__ == "__main__":
    sys.exit(main())

"""Cityscapes to the aligned pairs of Pix2Pix: photo | color-coded label map.

    python datasets/prepare_cityscapes.py --source datasets/cityscapes --out datasets/cityscapes_pix2pix

Cityscapes needs a login, so download gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip from
https://www.cityscapes-dataset.com and unpack both into one folder (--source):

    cityscapes/gtFine/train/aachen/*_gtFine_color.png, *_labelIds.png, *_instanceIds.png
    cityscapes/leftImg8bit/train/aachen/*_leftImg8bit.png

Pix2PixHD and SPADE read that folder as it is (--dataset_mode label). Pix2Pix takes <out>/<phase>/<stem>.png, written
here as the host's script does: the photo (A) left, the label map (B) right, so that training uses --direction BtoA.
"""
import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.runtime.text import name_some  # noqa: E402
from data.image_folder import open_photo  # noqa: E402

PHOTO, LABEL = "_leftImg8bit.png", "_gtFine_color.png"


def find_pairs(source, phase):
    """(photo, label map) paths of one phase; ValueError names what is missing."""
    photos = {p.name.removesuffix(PHOTO): p for p in (source / "leftImg8bit" / phase).rglob(f"*{PHOTO}")}
    labels = {p.name.removesuffix(LABEL): p for p in (source / "gtFine" / phase).rglob(f"*{LABEL}")}
    if not photos or not labels:
        missing = "photos (leftImg8bit)" if not photos else "label maps (gtFine, *_gtFine_color.png)"
        raise ValueError(f"--source {source}: no {missing} of phase {phase}; unpack both archives of Cityscapes there")
    alone = sorted(photos.keys() ^ labels.keys())
    if alone:
        raise ValueError(f"--source {source}: {len(alone)} of phase {phase} have no partner: {name_some(alone, 10)}")
    return [(photos[stem], labels[stem]) for stem in sorted(photos)]


def pair_image(photo, label, size):
    """Photo and label map, each `size` x `size`, side by side."""
    pair = Image.new("RGB", (2 * size, size))
    for x, path, method in ((0, photo, Image.Resampling.BICUBIC), (size, label, Image.Resampling.NEAREST)):
        pair.paste(open_photo(path, turn=False).resize((size, size), method), (x, 0))
    return pair


def prepare(source, out, size=256, phases=("train", "val")):
    """Write the pairs of all phases, whole or not at all; returns {phase: count}."""
    source, out = Path(source), Path(out)
    if size < 1:
        raise ValueError(f"--size must be at least 1, got {size}")
    there = [str(out / phase) for phase in phases if (out / phase).exists()]
    if there:
        raise ValueError(f"{', '.join(there)}: there already; delete it or choose another --out")
    pairs = {phase: find_pairs(source, phase) for phase in phases}
    out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".prepare_", dir=out))
    try:
        for phase in phases:
            (work / phase).mkdir()

            def write(pair, folder=work / phase):
                pair_image(*pair, size).save(folder / pair[0].name.replace(PHOTO, ".png"))

            with ThreadPoolExecutor() as pool:
                list(pool.map(write, pairs[phase]))
        for phase in phases:
            (work / phase).rename(out / phase)
    finally:
        shutil.rmtree(work)
    return {phase: len(found) for phase, found in pairs.items()}


def main(argv=None):
    """Prepare the pairs, or print one line of error and return 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="folder with gtFine and leftImg8bit")
    parser.add_argument("--out", required=True, help="folder for the pairs, the --dataroot of Pix2Pix")
    parser.add_argument("--size", type=int, default=256, help="side of each half, in pixels")
    parser.add_argument("--phases", nargs="+", default=["train", "val"], help="phases to prepare")
    args = parser.parse_args(argv)
    try:
        for phase, count in prepare(args.source, args.out, args.size, args.phases).items():
            print(f"{phase}: {count} pairs in {Path(args.out) / phase}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure the seconds of evaluate.py for 100 images, before and after features are cached; prints JSON.

    python benchmarks/metrics.py --images 100 --size 256

Images and label maps are noise and the segmenter is untrained, which does not change the time. Further flags,
such as --inception_weights or --metrics, are passed on to evaluate.py.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from compression.metrics.segmenter import Segmenter, save_segmenter  # noqa: E402
from compression.runtime.numbers import SIDE, integer  # noqa: E402

CLASSES = 12


def make_work(folder, images, size):
    """Write results of a student with ground truths, their label maps, and a segmenter."""
    rng = np.random.default_rng(0)
    for path in (folder / "run" / "images", folder / "labels"):
        path.mkdir(parents=True)
    for i in range(images):
        for label in ("student", "real_B"):
            coarse = rng.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((size, size))
            image.save(folder / "run" / "images" / f"{i:04}_{label}.png")
        label_map = rng.integers(0, CLASSES, (size, size), dtype=np.uint8)
        Image.fromarray(label_map).save(folder / "labels" / f"{i:04}.png")
    torch.manual_seed(0)
    save_segmenter(folder / "segmenter.pth", Segmenter(CLASSES))


def evaluate(folder, flags):
    """Run evaluate.py; returns its seconds and the content of metrics.json."""
    command = [sys.executable, "evaluate.py", "--results", folder / "run", "--results_dir", folder,
               "--checkpoints_dir", folder, "--labels", folder / "labels",
               "--segmenter", folder / "segmenter.pth", *flags]
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    return seconds, json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))


def main():
    """Measure twice and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=integer(1), default=100)
    parser.add_argument("--size", type=SIDE, default=256)
    args, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as work:
        make_work(Path(work), args.images, args.size)
        first_seconds, _ = evaluate(Path(work), flags)
        cached_seconds, record = evaluate(Path(work), flags)
    seconds = {"first": round(first_seconds, 2), "features cached": round(cached_seconds, 2)}
    print(json.dumps({"benchmark": "metrics", "images": args.images, "size": args.size,
                      "torch": torch.__version__, "threads": torch.get_num_threads(),
                      "metrics": list(record["metrics"]["student"]),
                      "not_computed": list(record["not_computed"]), "seconds": seconds}, indent=1))


if __name__ == "__main__":
    main()

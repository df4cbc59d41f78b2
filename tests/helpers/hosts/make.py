"""Put a host together in a folder: python tests/helpers/hosts/make.py p0|p1|p2|old FOLDER."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATIONS = ("p1", "p2")
OVERLAYS = {"p0": ("common", "p1", "p0"), "old": ("common", "p1", "old")}  # further parts, in this order


def make_host(generation, folder):
    """Copy the parts of a host into a new folder, which is returned."""
    for part in OVERLAYS.get(generation, ("common", generation)):
        shutil.copytree(HERE / part, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return Path(folder)


if __name__ == "__main__":
    make_host(*sys.argv[1:])

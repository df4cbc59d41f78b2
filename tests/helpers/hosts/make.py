"""Put a host together in a folder: python tests/helpers/hosts/make.py p1|p2 FOLDER."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATIONS = ("p1", "p2")


def make_host(generation, folder):
    """Copy the parts of a host into a new folder, which is returned."""
    for part in ("common", generation):
        shutil.copytree(HERE / part, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return Path(folder)


if __name__ == "__main__":
    make_host(*sys.argv[1:])

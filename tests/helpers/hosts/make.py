"""Put a host together in a folder: python tests/helpers/hosts/make.py p0|p1|p2|old FOLDER."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATIONS = ("p1", "p2")
WANDB_FLAGS = """    ("use_wandb", None, False),
    ("wandb_project_name", str, "CycleGAN-and-pix2pix"),
"""
STEP = "        model.update_learning_rate()\n"
END_OF_EPOCH = 'Time Taken: {time.time() - epoch_start:.0f} sec"\n        )\n'
# hosts that are made of p1: (file, text of p1, text of the host)
EDITS = {
    "p0": (("options/shared_options.py", WANDB_FLAGS, ""),
           ("train.py", STEP, ""),
           ("train.py", END_OF_EPOCH, END_OF_EPOCH + STEP),
           ("test.py", "            use_wandb=opt.use_wandb,\n", "")),
    "old": (("options/shared_options.py", WANDB_FLAGS, ""),
            ("options/shared_options.py", "n_epochs", "niter"),
            ("train.py", "n_epochs", "niter"),
            ("data/base_dataset.py", "def __init__(self, opt)", "def initialize(self, opt)")),
}


def make_host(generation, folder):
    """Copy the parts of a host into a new folder, and edit them; returns the folder."""
    edits = EDITS.get(generation, ())
    for part in ("common", "p1" if edits else generation):
        shutil.copytree(HERE / part, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text, replacement in edits:
        path = Path(folder) / name
        content = path.read_text(encoding="utf-8")
        assert text in content, f"{path} lacks {text}"
        path.write_text(content.replace(text, replacement), encoding="utf-8")
    return Path(folder)


if __name__ == "__main__":
    make_host(*sys.argv[1:])

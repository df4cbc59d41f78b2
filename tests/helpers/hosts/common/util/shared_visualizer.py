"""Pages of images."""

import time
from pathlib import Path

from . import util
from .html import HTML


def save_rows(webpage, visuals, image_path, aspect_ratio, width):
    """Write the images of one input beside each other on a page."""
    stem = Path(image_path[0]).stem
    webpage.add_header(stem)
    names = [f"{stem}_{label}.png" for label in visuals]
    for name, image in zip(names, visuals.values()):
        util.save_image(util.tensor2im(image), Path(webpage.get_image_dir()) / name, aspect_ratio)
    webpage.add_images(names, list(visuals), names, width=width)


def save_epoch(web_dir, name, visuals, epoch, width):
    """Write the images of an epoch, and the page of all epochs, the newest first."""
    for label, image in visuals.items():
        (Path(web_dir) / "images").mkdir(parents=True, exist_ok=True)
        util.save_image(util.tensor2im(image), Path(web_dir) / "images" / f"epoch{epoch:03d}_{label}.png")
    page = HTML(web_dir, f"Experiment name = {name}", refresh=1)
    for n in range(epoch, 0, -1):
        page.add_header(f"epoch [{n}]")
        files = [f"epoch{n:03d}_{label}.png" for label in visuals]
        page.add_images(files, list(visuals), files, width=width)
    page.save()


def begin_log(path):
    """A line that a run begins."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"================ Training Loss ({time.strftime('%c')}) ================\n")

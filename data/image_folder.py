"""Finding and opening image files."""
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff")
_DECODE_LIMIT = 2000  # data sets up to this size are decoded in full by the check; of larger ones only headers are read


def make_dataset(folder, max_dataset_size=float("inf")):
    """Paths of all images below `folder`, sorted.

    Raises:
        ValueError: if the folder is missing or holds no image.
    """
    if not os.path.isdir(folder):
        parent = Path(folder).parent
        near = ", ".join(sorted(p.name for p in parent.iterdir() if p.is_dir())[:10]) if parent.is_dir() else ""
        raise ValueError(f"--dataroot: {folder} is no folder" +
                         (f"; folders in {parent}: {near or 'none'}" if parent.is_dir() else ""))
    images = [os.path.join(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names
              if name.lower().endswith(IMG_EXTENSIONS)]
    if not images:
        raise ValueError(f"--dataroot: {folder} holds no image ({', '.join(IMG_EXTENSIONS)})")
    images.sort()
    return images[:int(min(max_dataset_size, len(images)))]


def open_image(path):
    """The decoded image; ValueError names the file if it cannot be read."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read as an image ({error})") from None


def check_images(paths, problem=lambda path, size: None):
    """Open every image before training and collect what is wrong.

    Args:
        paths: files; up to 2000 are decoded, of more the headers are read.
        problem: (path, (width, height)) -> a complaint, or None.

    Raises:
        ValueError: one message that names every bad file.
    """
    def look(path):
        try:
            with Image.open(path) as image:
                if len(paths) <= _DECODE_LIMIT:
                    image.load()
                complaint = problem(path, image.size)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            complaint = f"cannot be read as an image ({error})"
        return complaint and f"{path}: {complaint}"

    with ThreadPoolExecutor() as pool:
        bad = [line for line in pool.map(look, paths) if line]
    if bad:
        raise ValueError(f"{len(bad)} of {len(paths)} images are unusable: " + "; ".join(bad))

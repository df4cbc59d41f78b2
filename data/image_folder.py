"""Find and open image files."""
import os
import stat
import warnings
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from compression.runtime.images import to_rgb
from compression.runtime.text import did_you_mean, name_some

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp")
# accepted by content; Pillow would run another program for EPS, so that the list is closed
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LARGEST_IMAGE = Image.MAX_IMAGE_PIXELS  # Pillow's limit, about 89 million pixels
_ORIENTATION = 0x0112  # the EXIF tag
# EXIF orientation -> the operation that undoes it. ImageOps.exif_transpose has the same table, but it also
# writes a new EXIF block, which fails for files whose other tags are damaged.
_TRANSPOSES = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
               4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
               6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90}
_REASONS = ((UnidentifiedImageError, f"it is none of {', '.join(FORMATS)}"),
            (FileNotFoundError, "there is no such file, or it is a broken link"),
            (MemoryError, "there is too little memory for its pixels"))

# opened() has its own message about large images
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def limit_pixels(count):
    """Refuse images of more pixels than `count` (``--max_image_pixels``) in this process."""
    Image.MAX_IMAGE_PIXELS = count


def pixel_limit():
    """Return the largest number of pixels that an image may have."""
    return Image.MAX_IMAGE_PIXELS


def make_dataset(folder, max_dataset_size=float("inf"), flag="--dataroot"):
    """List the paths of all images below `folder`, sorted.

    Links are followed; a folder that several links lead to is listed once. Hidden files and folders are
    ignored, among them the ``._x.png`` that macOS writes for ``x.png``.

    Args:
        folder: the folder.
        max_dataset_size: the maximum number of paths; the first ones are returned.
        flag: the flag that named the folder, for messages.

    Raises:
        ValueError: if the folder is missing, cannot be listed, or has no image.
    """
    if not os.path.isdir(folder):
        raise ValueError(f"{flag}: {folder} is not a folder{_advice(Path(folder), flag)}")
    images = sorted(_walk(folder, flag))
    if not images:
        raise ValueError(f"{flag}: {folder} holds no image ({', '.join(IMG_EXTENSIONS)})")
    return images[:int(min(max_dataset_size, len(images)))]


def _advice(folder, flag):
    """List the folders next to a missing one and say how to name the right one, as the end of a message."""
    root = folder.parent
    if not root.is_dir():
        return ""
    names = sorted(path.name for path in root.iterdir() if path.is_dir())
    if flag == "--dataroot" and not names and next(_walk(root, flag), None):
        if (root.parent / folder.name).is_dir():
            return f"; {root} has the images of a phase: did you mean --dataroot {root.parent}?"
        return f"; {root} has images, but no folder of a phase: put pairs into {folder}"
    siblings = f"; folders in {root}: {name_some(names, 10) or 'none'}{did_you_mean(folder.name, names)}"
    if flag != "--dataroot":
        return siblings
    data_sets = [name for name in names if (root / name / folder.name).is_dir()]
    if data_sets:
        return f"{siblings}; --dataroot is the folder of one data set, such as {root / data_sets[0]}"
    return f"{siblings}; --phase (for validation in train.py: --eval_phase) selects one"


def _walk(folder, flag):
    def stop(error):
        raise ValueError(f"{flag}: {error.filename} cannot be listed ({error.strerror})")

    visited = set()  # real paths, so that links that form a cycle end
    for root, folders, names in os.walk(folder, followlinks=True, onerror=stop):
        real_path = os.path.realpath(root)
        if real_path in visited:
            folders.clear()
            continue
        visited.add(real_path)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.lower().endswith(IMG_EXTENSIONS) and not name.startswith("."):
                yield os.path.join(root, name)


@contextmanager
def opened(path):
    """Open an image file without decoding it; any error inside the ``with`` block becomes a ValueError.

    Only the ``FORMATS`` are tried, whatever the name of the file. Its number of pixels is checked first.

    Raises:
        ValueError: names the file and the reason.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if not status.st_size:
            raise ValueError("it is empty")
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > pixel_limit():
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:
        raise ValueError(f"{path}: the image has more than {pixel_limit():,} pixels, which can exhaust the "
                         "memory; --max_image_pixels raises the limit for files that you trust") from None
    except Exception as error:  # Pillow raises many types for damaged files
        reasons = (text for error_type, text in _REASONS if isinstance(error, error_type))
        reason = next(reasons, getattr(error, "strerror", None) or error)
        raise ValueError(f"{path}: cannot be read as an image ({reason})") from None


def open_image(path, turn=True):
    """Open and decode an image, in the mode in which it is stored.

    Of an animated or multi-page file, the first frame is loaded.

    Args:
        path: the file.
        turn: whether to apply the EXIF orientation. Files that hold a pair side by side are cut as they are
            stored, and not turned.

    Raises:
        ValueError: names the file if it cannot be read.
    """
    with opened(path) as image:
        image.load()
        method = _TRANSPOSES.get(orientation(image)) if turn else None
        return image if method is None else image.transpose(method)


def open_photo(path, turn=True):
    """Open an image as 8-bit RGB; `turn` as in :func:`open_image`.

    16-bit gray is scaled, CMYK is converted without its color profile, and transparent pixels become white.

    Raises:
        ValueError: names the file if it cannot be read, or if the range of its values is unknown.
    """
    image = open_image(path, turn)
    try:
        return to_rgb(image)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def orientation(image):
    """Return the EXIF orientation, 1 to 8 in valid files; 1 if there is none or it cannot be read."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the complete file to search for it
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a photo with a broken EXIF block is usable
        return 1


def size_of(image, turn=True):
    """Return the (width, height) of :func:`open_image` for an image that may not be decoded yet."""
    is_rotated = turn and image.format != "TIFF" and orientation(image) >= 5  # Pillow turns TIFF files itself
    return image.size[::-1] if is_rotated else image.size

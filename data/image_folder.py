"""Finding and opening image files."""
import os
import stat
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from compression.runtime.images import to_rgb

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # by content; of Pillow's others EPS would run a program
_ORIENTATION = 0x0112  # the EXIF entry, and what undoes each of its values
_TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_90}
_REASONS = ((UnidentifiedImageError, f"it is none of {', '.join(FORMATS)}"),
            (FileNotFoundError, "there is no such file, or it is a broken link"),
            (Image.DecompressionBombError, f"it has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels"),
            (MemoryError, "there is too little memory for its pixels"))


def make_dataset(folder, max_dataset_size=float("inf"), flag="--dataroot"):
    """Paths of all images below `folder`, sorted.

    Links are followed; a folder that several links lead to is listed once. Hidden files and folders are left out, among
    them the ``._x.png`` that macOS writes beside ``x.png``.

    Args:
        flag: what an error says the folder was given by.

    Raises:
        ValueError: if the folder is missing, cannot be listed or holds no image.
    """
    if not os.path.isdir(folder):
        parent = Path(folder).parent
        near = ", ".join(sorted(p.name for p in parent.iterdir() if p.is_dir())[:10]) if parent.is_dir() else ""
        raise ValueError(f"{flag}: {folder} is no folder" +
                         (f"; folders in {parent}: {near or 'none'}" if parent.is_dir() else ""))
    images = sorted(_walk(folder, flag))
    if not images:
        raise ValueError(f"{flag}: {folder} holds no image ({', '.join(IMG_EXTENSIONS)})")
    return images[:int(min(max_dataset_size, len(images)))]


def _walk(folder, flag):
    def stop(error):
        raise ValueError(f"{flag}: {error.filename} cannot be listed ({error.strerror})")

    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True, onerror=stop):
        real = os.path.realpath(root)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        if real not in seen:
            yield from (os.path.join(root, name) for name in names
                        if name.lower().endswith(IMG_EXTENSIONS) and not name.startswith("."))
        seen.add(real)


@contextmanager
def opened(path):
    """A PIL image that is not decoded yet; whatever goes wrong inside is a ValueError that names the file."""
    try:
        mode = os.stat(path)
        if not stat.S_ISREG(mode.st_mode):
            raise ValueError("it is no regular file")
        if not mode.st_size:
            raise ValueError("it is empty")
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except Exception as error:  # Pillow raises many types for foreign files
        reason = next((text for kind, text in _REASONS if isinstance(error, kind)),
                      getattr(error, "strerror", None) or error)
        raise ValueError(f"{path}: cannot be read as an image ({reason})") from None


def open_image(path, turn=True):
    """The decoded image, as it is stored: of an animated or multi-page file the first frame.

    Args:
        turn: undo the rotation that a camera noted in EXIF. Files that hold a pair side by side are cut as they are
            stored, and not turned.

    Raises:
        ValueError: names the file if it cannot be read.
    """
    with opened(path) as image:
        image.load()
        method = _TURNS.get(orientation(image)) if turn else None
        return image if method is None else image.transpose(method)


def open_photo(path, turn=True):
    """The image as 8-bit RGB; `turn` as in :func:`open_image`.

    16-bit gray is scaled, CMYK converted without its color profile, and what is transparent lies on white.

    Raises:
        ValueError: names the file if it cannot be read, or has pixels without a known range.
    """
    image = open_image(path, turn)
    try:
        return to_rgb(image)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def orientation(image):
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the whole file in search of it
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a broken EXIF block is no reason to refuse the photo
        return 1


def size_of(image, turn=True):
    """(width, height) that :func:`open_image` gives of an image that may not be decoded yet."""
    on_its_side = turn and image.format != "TIFF" and orientation(image) >= 5  # Pillow turns TIFF files by itself
    return image.size[::-1] if on_its_side else image.size

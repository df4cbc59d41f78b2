"""Looking at the files of a data set before they are used."""
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from compression.runtime.images import is_transparent, to_rgb
from compression.runtime.text import name_some

from .image_folder import opened, orientation, size_of

_DECODE_LIMIT = 2000  # data sets up to this size are decoded in full by the check; of larger ones only headers are read
_NOTES = ("turned by EXIF", "with an EXIF orientation that is not applied: pairs are cut as stored",
          "animated or of several pages: the first is used", "transparent: laid on white", "16-bit gray: scaled to 8 bits")
TURNED, NOT_TURNED, FRAMES, TRANSPARENT, DEEP = _NOTES
_SHOWN = 5  # sizes and modes in a summary


@dataclass
class CheckReport:
    """What a check saw: how many files, and how many of each size (width, height), mode and peculiarity."""

    files: int = 0
    sizes: Counter = field(default_factory=Counter)
    modes: Counter = field(default_factory=Counter)
    notes: Counter = field(default_factory=Counter)
    remarks: list = field(default_factory=list)

    def __add__(self, other):
        return CheckReport(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    def __str__(self):
        sizes = {f"{width}x{height}": count for (width, height), count in self.sizes.most_common()}
        lines = [f"files: {self.files}", f"sizes: {_counted(sizes)}", f"modes: {_counted(dict(self.modes.most_common()))}"]
        lines += [f"{self.notes[note]} {note}" for note in _NOTES if self.notes[note]]
        return "\n".join(f"  {line}" for line in (lines if self.files else []) + self.remarks)


def _counted(counts):
    return name_some((f"{name} ({count})" for name, count in counts.items()), _SHOWN)


def check_images(paths, problem=lambda path, size: None, turn=True, full=False, ids=()):
    """Open every image before it is needed and collect what is wrong.

    Args:
        paths: files; up to 2000 are decoded, of more the headers are read.
        problem: (path, (width, height)) -> a complaint, or None; it may raise ValueError.
        turn: as in :func:`data.image_folder.open_image`.
        full: decode all, however many there are.
        ids: those of `paths` that hold ids instead of colors.

    Returns:
        What was found.

    Raises:
        ValueError: one message that names every bad file.
    """
    decode, ids = full or len(paths) <= _DECODE_LIMIT, set(ids)

    def look(path):
        try:
            with opened(path) as image:
                size, mode, notes, why_not = size_of(image, turn), image.mode, [], None
                if decode:
                    image.load()
                    why_not = None if path in ids else why_no_photo(image)
                    notes = list(peculiarities(image, turn, path in ids))
            str(path).encode()
            complaint = why_not or problem(path, size)
            return (f"{path}: {complaint}" if complaint else None), size, mode, notes
        except UnicodeEncodeError:
            return f"{str(path)!a}: the name is no valid UTF-8", None, None, ()
        except ValueError as error:
            return str(error), None, None, ()

    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(look, paths))
    bad = [complaint for complaint, *_ in seen if complaint]
    if bad:
        raise ValueError(f"{len(bad)} of {len(paths)} images are unusable: " + "; ".join(bad))
    return CheckReport(len(seen), Counter(size for _, size, _, _ in seen), Counter(mode for _, _, mode, _ in seen),
                 Counter(note for *_, notes in seen for note in notes))


def why_no_photo(image):
    """Why a decoded image cannot become one of 8-bit RGB, or None."""
    try:
        if image.mode not in ("L", "RGB"):
            to_rgb(image)
    except ValueError as error:
        return str(error)
    return None


def peculiarities(image, turn=True, ids=False):
    """What a user should know about a decoded image that is used all the same."""
    if 2 <= orientation(image) <= 8:
        yield TURNED if turn else NOT_TURNED
    if getattr(image, "is_animated", False):
        yield FRAMES
    if is_transparent(image) and not ids:
        yield TRANSPARENT
    if image.mode.startswith("I") and not ids:
        yield DEEP


def report(dataset, found):
    """What ``--check_data`` prints of a data set whose check came back with `found` (None: it tells nothing)."""
    found = found or CheckReport()
    return (f"checked {type(dataset).__name__}, phase {dataset.opt.phase}: all usable\n  items: {len(dataset)}\n"
            f"{found}").rstrip()

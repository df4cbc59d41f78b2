"""Check the image files of a data set before they are used."""
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Condition

from compression.runtime.images import check_range, is_transparent
from compression.runtime.text import name_some, printable

from .image_folder import opened, orientation, pixel_limit, size_of

_DECODE_LIMIT = 2000  # up to this number, files are decoded by default; of more, only the headers are read
TURNED = "turned by EXIF"
NOT_TURNED = "with an EXIF orientation that is not applied: pairs are cut as stored"
FRAMES = "animated or of several pages: the first is used"
TRANSPARENT = "transparent: laid on white"
DEEP = "16-bit gray: scaled to 8 bits"
_NOTES = (TURNED, NOT_TURNED, FRAMES, TRANSPARENT, DEEP)
_LISTED = 5  # sizes and modes in the text of a report; reasons, and files of one reason, in an error


@dataclass
class CheckReport:
    """The results of a check.

    Attributes:
        files: number of checked files.
        sizes: number of files of each (width, height).
        modes: number of files of each PIL mode.
        notes: number of files for each note, one of the constants of this module.
        details: lines that a data set adds about itself.
        item_sizes: number of inputs of each (width, height) after ``--preprocess``.
    """

    files: int = 0
    sizes: Counter = field(default_factory=Counter)
    modes: Counter = field(default_factory=Counter)
    notes: Counter = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)
    item_sizes: Counter = field(default_factory=Counter)

    def __add__(self, other):
        return CheckReport(self.files + other.files, self.sizes + other.sizes, self.modes + other.modes,
                           self.notes + other.notes, self.details + other.details,
                           self.item_sizes + other.item_sizes)

    def __str__(self):
        lines = []
        if self.files:
            sizes = [(f"{width}x{height}", count) for (width, height), count in self.sizes.most_common()]
            lines += [f"files: {self.files}", f"sizes: {_list_counts(sizes)}",
                      f"modes: {_list_counts(self.modes.most_common())}"]
            lines += [f"{self.notes[note]} {note}" for note in _NOTES if self.notes[note]]
        lines += self.details
        return "\n".join(f"  {printable(line)}" for line in lines)


def _list_counts(counts):
    return name_some((f"{name} ({count})" for name, count in counts), _LISTED)


def _list_errors(errors, complete):
    """List errors by their reasons, the most frequent ones first, each with its files.

    Args:
        errors: path -> reason.
        complete: list all of them instead of a few.
    """
    files = {}
    for path, reason in errors.items():
        files.setdefault(reason, []).append(path)
    reasons = sorted(files, key=lambda reason: -len(files[reason]))
    limit = len(errors) if complete else _LISTED
    groups = [f"{reason} ({len(files[reason])} files: {name_some(files[reason], limit)})"
              if len(files[reason]) > 1 else f"{printable(files[reason][0])}: {reason}" for reason in reasons]
    left_out = len(groups) > limit or any(len(paths) > limit for paths in files.values())
    hint = "; --check_data lists all" if left_out else ""
    return name_some(groups, limit, separator="; ") + hint


@dataclass(frozen=True)
class _FileCheck:
    """The check of one file: why it is unusable (None if it is usable), and its properties."""

    error: str | None
    size: tuple[int, int] | None = None
    mode: str | None = None
    notes: tuple[str, ...] = ()


def check_images(paths, problem: Callable = lambda path, size: None, turn=True, full=False, ids=()):
    """Open every image of a data set and list the unusable ones.

    Args:
        paths: the files. Up to 2000 files are decoded; of more, only the headers are read.
        problem: a function of path and (width, height). It returns why the file is unusable, or None. It may
            raise a ValueError instead.
        turn: whether the EXIF orientation is applied, as in :func:`data.image_folder.open_image`.
        full: decode all files.
        ids: those of `paths` that hold ids instead of colors.

    Returns:
        A :class:`CheckReport`.

    Raises:
        ValueError: if files are unusable. The message groups them by reason; with `full` it names them all.
    """
    decode = full or len(paths) <= _DECODE_LIMIT
    check = partial(_check_file, problem=problem, turn=turn, decode=decode, ids=set(ids),
                    memory=_Pixels(pixel_limit()))
    with ThreadPoolExecutor() as pool:
        checks = list(pool.map(check, paths))
    errors = {path: file.error for path, file in zip(paths, checks, strict=True) if file.error}
    if errors:
        raise ValueError(f"{len(errors)} of {len(paths)} images are unusable: {_list_errors(errors, full)}")
    return CheckReport(files=len(checks), sizes=Counter(file.size for file in checks),
                       modes=Counter(file.mode for file in checks),
                       notes=Counter(note for file in checks for note in file.notes))


class _Pixels:
    """A number of pixels that several threads share, so that together they hold no more than this number."""

    def __init__(self, count):
        self.free = count
        self.changed = Condition()

    @contextmanager
    def held(self, count):
        """Wait until `count` pixels are free, and hold them during the ``with`` block."""
        with self.changed:
            self.changed.wait_for(lambda: self.free >= count)
            self.free -= count
        try:
            yield
        finally:
            with self.changed:
                self.free += count
                self.changed.notify_all()


def _check_file(path, problem, turn, decode, ids, memory):
    """Check one file; the arguments are those of :func:`check_images`, and the :class:`_Pixels`."""
    with ExitStack() as stack:
        size, mode, notes = None, None, ()
        try:
            str(path).encode()
            with opened(path) as image:
                stack.enter_context(memory.held(image.width * image.height))
                size = size_of(image, turn)
                mode = image.mode
                error = None
                if decode:
                    image.load()
                    error = None if path in ids else rgb_error(image)
                    notes = tuple(notes_on(image, turn, path in ids))
            error = error or problem(path, size)
        except UnicodeEncodeError:
            error = "the name is not valid UTF-8"
        except ValueError as unreadable:
            error = str(unreadable).removeprefix(f"{path}: ")
        return _FileCheck(error, size, mode, notes)


def rgb_error(image):
    """Explain why a decoded image cannot be converted to 8-bit RGB; None if it can."""
    try:
        check_range(image)
    except ValueError as error:
        return str(error)
    return None


def notes_on(image, turn=True, ids=False):
    """Yield the notes on a decoded image that is usable but unusual."""
    if 2 <= orientation(image) <= 8:
        yield TURNED if turn else NOT_TURNED
    if getattr(image, "is_animated", False):
        yield FRAMES
    if is_transparent(image) and not ids:
        yield TRANSPARENT
    if image.mode.startswith("I") and not ids:
        yield DEEP


def format_report(dataset, report):
    """Format what ``--check_data`` prints about a data set.

    Args:
        dataset: the data set.
        report: the result of its ``check``; None if it checks nothing.
    """
    summary = f"checked {type(dataset).__name__}, phase {printable(dataset.opt.phase)}: all usable"
    return f"{summary}\n  items: {len(dataset)}\n{report or CheckReport()}".rstrip()

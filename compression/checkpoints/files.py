"""Atomic writes: a reader sees either the old file or the new one, never a part of it."""
from __future__ import annotations

import contextlib
import gc
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

MAX_JSON_BYTES = 2 ** 23
MAX_STATE_BYTES = 2 ** 26  # the state of a search with 50,000 candidates has about 50 MB
# they need many times the memory of their text; such a state has a million objects, lists, and names, and two
# million values
MAX_JSON_PARTS = 2 ** 21
MAX_JSON_VALUES = 2 ** 22


@contextmanager
def atomic_file(path: str | Path, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a binary file for writing and reading that replaces `path` when the block ends without an error.

    The data is written to a temporary file in the same folder, flushed to disk, and renamed. Then the folder
    is flushed.

    Args:
        path: the file.
        durable: False skips the flushes. The file is then complete after a crash of the process, but not
            necessarily after a power failure.

    Raises:
        OSError: if the file cannot be written (full disk, read-only folder, a device of this name). The
            message names `path`, the previous file is unchanged, and the temporary file is removed.
    """
    path = Path(path)
    require_replaceable(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # created by the umask and only if no file or link of this name exists
        name = path.parent / f".{path.name[:40]}.{secrets.token_hex(4)}.tmp"
        with open(name, "x+b") as file:
            temporary = name
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)
    except BaseException as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        os_error = _find_os_error(error)
        if os_error is None:
            raise
        reason = os_error.strerror or os_error
        message = f"{path}: cannot be written ({reason}); any previous file is unchanged"
        raise type(os_error)(message) from error


def require_replaceable(path: Path) -> None:
    """Check that a path is free, a regular file, or a link to one, which a new file may replace.

    Raises:
        OSError: if it is a folder, a pipe, or a device.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a regular file and is not replaced; choose another name")


def read_text(path: str | Path, max_bytes: int = MAX_JSON_BYTES) -> str:
    """Read a regular file of UTF-8 text that has at most `max_bytes`.

    Raises:
        ValueError: if it is something else; the message names the file.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: is not a regular file")
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{path}: has {size:,} bytes, more than {max_bytes:,}; the file is damaged")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error})") from None


def read_json(path: str | Path, max_bytes: int = MAX_JSON_BYTES) -> dict:
    """Read a JSON file that contains an object.

    Args:
        path: the file.
        max_bytes: the size above which it is not read.

    Raises:
        ValueError: if it contains something else, or more than any file of this project; the message names
            the file.
    """
    value = parse_json(read_text(path, max_bytes), path)
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def parse_json(text: str, path: str | Path) -> Any:
    """Parse JSON in time and memory that its size justifies.

    Args:
        text: the JSON.
        path: the file that it was read from, for messages.

    Raises:
        ValueError: if it is not JSON, or has more parts than any file of this project.
    """
    if count_parts(text) > MAX_JSON_PARTS or text.count(",") > MAX_JSON_VALUES:
        raise ValueError(f"{path}: has more than {MAX_JSON_PARTS:,} objects, lists, and names, or more than "
                         f"{MAX_JSON_VALUES:,} values; the file is damaged")
    try:
        with collection_paused():
            return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not a JSON file ({str(error)[:100]})") from None


def count_parts(text: str) -> int:
    """Return the number of objects, lists, and names in JSON, or a little more."""
    return sum(text.count(character) for character in "{[:")


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the garbage collector, which visits all objects again for every few that a parser creates."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def write_json(path: str | Path, value: object) -> None:
    """Write plain data as JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, default=str))


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    with atomic_file(path) as file:
        file.write(text.encode(errors="backslashreplace"))  # a name of a file need not be UTF-8


def remove_temporary(folder: str | Path) -> None:
    """Remove the temporary files that :func:`atomic_file` left behind in killed processes.

    No other process may be writing to the folder.
    """
    for path in Path(folder).glob(".*.tmp"):
        path.unlink(missing_ok=True)


def sync_folder(folder: str | Path) -> None:
    """Flush a folder to disk, so that a rename in it survives a power failure; no-op where unsupported."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows does not open folders
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _find_os_error(error: BaseException | None) -> OSError | None:
    """Return the OSError that caused an error: torch reports a full disk as a RuntimeError."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or (error.__context__ if isinstance(error, RuntimeError) else None)
    return error

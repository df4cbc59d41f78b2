"""Files that are whole or not there: a reader sees the old one or the new one, never a part."""
from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(path: str | Path, durable: bool = True) -> Iterator[BinaryIO]:
    """A binary file to write, which takes the place of `path` when the block ends without an error.

    It is written under a temporary name in the same folder, flushed to disk, and renamed; then the folder is flushed.
    Without `durable` nothing is flushed: whole after a crash of the process, not of the machine.

    Raises:
        OSError: if it cannot be written (a full disk, a read-only folder); the message names `path`, whose old content
            is untouched. The temporary file is gone.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        reason = _os_error(error)
        if reason is None:
            raise
        raise type(reason)(f"{path}: cannot be written ({reason.strerror or reason}); what was there before is untouched") \
            from error


def read_json(path: str | Path) -> dict:
    """The JSON object of a file; ValueError names the file if it holds none."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: wanted a JSON object, got {str(value)[:40]}")
    return value


def write_json(path: str | Path, value: object) -> None:
    """Write plain data as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, default=str))


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    with atomic_file(path) as file:
        file.write(text.encode())


def remove_temporary(folder: str | Path) -> None:
    """Remove what killed processes have left of :func:`atomic_file`; no other process may be writing there."""
    for path in Path(folder).glob(".*.tmp"):
        path.unlink(missing_ok=True)


def sync_folder(folder: str | Path) -> None:
    """Make a rename in a folder last through a power failure, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folder
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def _os_error(error: BaseException | None) -> OSError | None:
    """The OSError behind an error: torch tells a full disk as a RuntimeError about positions."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or (error.__context__ if isinstance(error, RuntimeError) else None)
    return error

"""The identifier of the run that wrote a file, so that files of two runs are never used together."""
from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, TypeGuard

from .files import read_json
from .zip_entries import ZipEntries

RUN_RECORD = "extra/run"  # TorchScript stores extra files under this name, too; torch.load ignores them
_IDENTIFIER = re.compile(r"[0-9a-f]{32}")


def is_run_id(value: object) -> TypeGuard[str]:
    """Return whether a value is an identifier of a run, 32 hexadecimal digits."""
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def add_run_id(file: BinaryIO, run: str) -> None:
    """Add the identifier of a run to a file that ``torch.save`` has written, as one more record.

    Args:
        file: the file, open for reading and writing.
        run: the identifier.
    """
    with zipfile.ZipFile(file, "a") as archive:
        folder = archive.namelist()[0].partition("/")[0]
        archive.writestr(zipfile.ZipInfo(f"{folder}/{RUN_RECORD}"), run)


def run_of(path: str | Path) -> str | None:
    """Return the identifier of the run that wrote a checkpoint or a JSON file.

    Returns:
        None if the file has no identifier, as files of upstream and of earlier versions, or is unreadable;
        loading reports the latter.
    """
    return _identifier_in(path, "run")


def _identifier_in(path: str | Path, name: str) -> str | None:
    """Return an identifier that a file records, or None."""
    if not Path(path).is_file():  # to open a pipe waits for a writer
        return None
    try:
        value = read_json(path).get(name) if Path(path).suffix == ".json" else _run_of_archive(path)
    except Exception:  # zipfile raises many types for other files
        return None
    return value if is_run_id(value) else None


def _run_of_archive(path: str | Path) -> str | None:
    with open(path, "rb") as file:
        entries = ZipEntries(file)
        for name, size in entries.sizes.items():
            if name.partition("/")[2] == RUN_RECORD and size == 32:
                return entries.read(name, size).decode("ascii")
    return None


def check_one_run(paths: Iterable[str | Path]) -> str | None:
    """Check that files that are used together were written by the same run.

    Args:
        paths: the files. Those without an identifier, and missing ones, fit all others.

    Returns:
        The identifier; None if no file has one.

    Raises:
        ValueError: if two runs wrote them; the message names a file of each.
    """
    files: dict[str, str | Path] = {}
    for path in paths:
        run = run_of(path)
        if run:
            files.setdefault(run, path)
    if len(files) > 1:
        (first, one), (second, other), *_ = files.items()
        raise ValueError(f"{one} and {other} are files of two different runs ({first[:8]} and {second[:8]}). "
                         "Remove or replace the one that does not belong to the run; if a save of a new run "
                         "was interrupted, --continue_train completes it")
    return next(iter(files), None)


def check_one_search(paths: Iterable[Path]) -> list[Path]:
    """Check that architectures are results of the same search of a supernet.

    Args:
        paths: the files; missing ones are skipped.

    Returns:
        The files.

    Raises:
        ValueError: if they are of two searches, of which the last one was interrupted.
    """
    files = list(paths)
    searches = {_identifier_in(path, "search"): path for path in files if path.is_file()}
    if len(searches) > 1:
        raise ValueError(f"{' and '.join(map(str, searches.values()))} are results of different searches; "
                         "complete the last one with search.py --continue_train, or search again")
    return files

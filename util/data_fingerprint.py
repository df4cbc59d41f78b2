"""A fingerprint of the training images, with which a continued run notices that they have changed."""
from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def fingerprint(paths: Iterable[str | Path]) -> dict[str, Any]:
    """Return the number of files, and a digest of their names and sizes; the files are not read.

    The folders do not count, so that a data set may move. A path that is no file, as of the toy data set, has
    no size.
    """
    digest, count = hashlib.sha256(), 0
    for path in sorted(map(Path, paths), key=lambda path: (path.name, str(path))):
        size = -1
        with suppress(OSError):
            size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode(errors="surrogateescape"))
        count += 1
    return {"files": count, "sha256": digest.hexdigest()}


def describe_change(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str | None:
    """Describe how the training images differ from those of the last save.

    Returns:
        One line, or None if they are the same or `before` is None, as in the states of earlier versions.
    """
    if not before or before == now:
        return None
    what = (f"{before.get('files')} inputs, now {now['files']}" if before.get("files") != now["files"]
            else f"the {now['files']} inputs have other names or sizes")
    return (f"warning: the training images have changed since the last save ({what}); the run continues with "
            "them")

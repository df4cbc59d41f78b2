"""A lock on a folder that one process holds; the operating system releases it when the process ends."""
from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import IO

from compression.runtime.text import printable

_LOCKED_BYTE = 2 ** 30  # far behind the text of the file: on Windows a locked byte cannot be read


class FolderLock:
    """Lock a folder for the duration of a ``with`` block, with an OS-level lock on ``<folder>/.lock``.

    The lock ends with its process, even if that is killed (SIGKILL); a ``.lock`` file that is left over is
    harmless. On a file system without locks a warning is printed and the folder is not locked.

    Raises:
        ValueError: on entry, if another process has locked the folder; the message names it.
        OSError: on entry, if the folder is not writable.
    """

    def __init__(self, folder: str | os.PathLike):
        self.path = Path(folder) / ".lock"

    def __enter__(self) -> FolderLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # without following a link, whose target would be overwritten
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self.file = os.fdopen(os.open(self.path, flags, 0o666), "r+", encoding="utf-8")
        try:
            _lock(self.file)
        except (BlockingIOError, PermissionError):
            holder = self._holder()
            self.file.close()
            raise ValueError(f"{self.path.parent} is in use by {holder}; nothing was written. Wait for it, "
                             "stop it, or choose another --name") from None
        except OSError as error:
            print(f"warning: {printable(self.path.parent)} cannot be locked ({error.strerror}); do not "
                  "start a second run with this --name", file=sys.stderr)
        self.file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": since}, self.file)
        self.file.flush()
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def _holder(self) -> str:
        """Describe the process that has locked the folder."""
        try:
            holder = json.loads(self.file.read(1000))
            return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
        except (ValueError, KeyError, TypeError, OSError):
            return "another process"


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl
        # unlike a lock of flock, the workers of a data loader do not inherit this one
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCKED_BYTE)

"""One process at a time: a lock that ends with its process, however that ends."""
import json
import os
import socket
import sys
import time
from pathlib import Path

_FAR = 2 ** 30  # the byte that is locked, beyond the text: Windows lets no one read what is locked


class FolderLock:
    """Holds a folder from ``with`` to its end, by an operating system's lock on ``<folder>/.lock``.

    A process that dies, even by SIGKILL, holds nothing any more; the file that stays behind means nothing. Where the file
    system has no locks, that is printed and the folder is not held.

    Raises:
        ValueError: on entry, if another process holds the folder; the message says which.
        OSError: on entry, if the folder cannot be written to.
    """

    def __init__(self, folder):
        self.path, self.file = Path(folder) / ".lock", None

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8")
        try:
            _lock(self.file)
        except (BlockingIOError, PermissionError):
            holder = self._holder()
            self.file.close()
            raise ValueError(f"{self.path.parent} is in use by {holder}; nothing was written. Wait for it, stop it, or "
                             "choose another --name") from None
        except OSError as error:
            print(f"warning: {self.path.parent} cannot be locked ({error.strerror}); start no second run of this --name",
                  file=sys.stderr)
        self.file.truncate(0)
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}, self.file)
        self.file.flush()
        return self

    def __exit__(self, *error):
        self.file.close()

    def _holder(self):
        try:
            found = json.loads(self.file.read())
            return f"process {found['pid']} on {found['host']} since {found['since']}"
        except (ValueError, KeyError, TypeError, OSError):
            return "another process"


def _lock(file):
    if sys.platform == "win32":
        import msvcrt
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _FAR)  # unlike flock's, not inherited by loaders' processes

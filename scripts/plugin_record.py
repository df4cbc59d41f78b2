"""The record of an installed plugin, ``.ugc_plugin.json`` in the checkout; only uses the standard library."""
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field, fields

import rollback

RECORD = ".ugc_plugin.json"
MAX_BYTES = 2 ** 20  # of the record; that of this version has 10 KB
DIGEST = re.compile("[0-9a-f]{64}")  # SHA-256


@dataclass
class Record:
    """The files that were installed into a checkout.

    Attributes:
        files: path -> SHA-256.
        previous: path -> SHA-256 of the files that an unfinished update replaces.
        folders: the folders that were created for the files, outer ones first.
        caches: the ``__pycache__`` folders that existed before.
    """

    files: dict[str, str] = field(default_factory=dict)
    previous: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    caches: list[str] = field(default_factory=list)

    @property
    def paths(self):
        """All files of the plugin that may be in the checkout."""
        return sorted({*self.files, *self.previous})

    def owns(self, target, path):
        """Return whether the file at `path` was installed and has not been edited since."""
        file = target / path
        if rollback.blocking_folder(target, path) or not file.is_file() or file.is_symlink():
            return False
        return sha256(file.read_bytes()) in (self.files.get(path), self.previous.get(path))


def sha256(content):
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def content_of(record):
    """Serialize a Record."""
    return (json.dumps(asdict(record), indent=1) + "\n").encode()


def read_record(target):
    """Read the record of a checkout; None if the plugin is not installed.

    Raises:
        ValueError: if the record is no regular file or damaged; the message says which entry is wrong.
    """
    candidates = (target / RECORD, rollback.old_name(target / RECORD))
    path = next((candidate for candidate in candidates if os.path.lexists(candidate)), None)
    if path is None:
        return None
    if path.is_symlink() or not path.is_file():
        raise ValueError(f"{path}: is not a regular file; remove it")
    try:
        return checked_record(read_json(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is damaged ({str(error)[:200]}), so the files of the plugin are not "
                         "known; remove them and this file by hand") from None


def read_json(path):
    """Read a JSON file; ValueError if it has more than ``MAX_BYTES``."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}")
    return json.loads(path.read_text(encoding="utf-8"))


def checked_record(content):
    """Convert the content of the file to a Record.

    Raises:
        ValueError: if an entry is unknown, or has another type or content than those that are written here.
    """
    names = [entry.name for entry in fields(Record)]
    if not isinstance(content, dict) or not set(content) <= set(names):
        raise ValueError(f"it must be an object with the entries {', '.join(names)}")
    for name, entry in content.items():
        kind = dict if name in ("files", "previous") else list
        if not isinstance(entry, kind):
            raise ValueError(f"'{name}' must be {'an object' if kind is dict else 'a list'}, got "
                             f"{type(entry).__name__}")
        for path in entry:
            if not is_relative_path(path):
                raise ValueError(f"'{name}' must hold paths within the checkout, got {path!r:.60}")
            if kind is dict and not (isinstance(entry[path], str) and DIGEST.fullmatch(entry[path])):
                raise ValueError(f"'{name}' must hold a SHA-256 for {path!r:.60}, got {entry[path]!r:.60}")
    return Record(**content)


def is_relative_path(path):
    """Return whether a value of the record is the path of a file or folder within the checkout."""
    is_plain = isinstance(path, str) and path.isascii() and path.isprintable() and "\\" not in path
    return is_plain and not {"", ".", ".."} & {*path.split("/")}

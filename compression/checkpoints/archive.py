"""A reader of the files of ``torch.save``.

``torch.load(weights_only=True)`` runs no foreign code, but it trusts the sizes in a file, and it may find
other data in it than a second reader that checks it first. Here a file is read once: what was checked is what
is used. Both formats are read: the zip archive since PyTorch 1.6, and the sequence of pickles before.
"""
from __future__ import annotations

import io
import os
import struct
import zipfile
from typing import Any, BinaryIO

import torch

from .run_ids import RUN_RECORD, is_run_id
from .unpickling import MAX_PICKLE_BYTES, WeightsUnpickler

MAX_DIRECTORY_BYTES = 2 ** 22  # of a zip archive: 40,000 tensors
MAX_SHARING = 4  # how many times the bytes of a file all its tensors may have together
_ZIP_START = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
_ZIP64_END = b"PK\x06\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_HEADER_BYTES = 30  # in front of an entry
_DESCRIPTOR_BYTES = 24  # behind an entry: its sizes once more
_END_BYTES = 22
_ENDS_BYTES = 98  # with the additional end of an archive of 64-bit sizes
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


def read_archive(file: BinaryIO) -> Any:
    """Read a file of ``torch.save`` that contains only tensors and plain data; tensors are on the CPU.

    Args:
        file: the file, open at its start. Its position afterwards is undefined.

    Raises:
        ValueError: states the problem, as the end of a sentence about the file.
    """
    start = file.read(len(_ZIP_START))
    file.seek(0)
    try:
        return _ZipReader(file).load() if start == _ZIP_START else _LegacyReader(file).load()
    except (ValueError, MemoryError, OSError):
        raise
    except Exception as error:  # pickle, zipfile, and torch raise many types for other files
        if "memory" in str(error):
            raise MemoryError(str(error)) from None
        raise ValueError(f"it is truncated or of another format ({type(error).__name__})") from None


def _read_storage(file: BinaryIO, size: int) -> torch.UntypedStorage:
    """Read a storage of `size` bytes, which the file must have."""
    values = torch.empty(size, dtype=torch.uint8)
    if file.readinto(values.numpy()) != size:  # type: ignore[attr-defined]
        raise ValueError("it is truncated")
    return values.untyped_storage()


class _ZipReader:
    """Reads a zip archive of a pickle and one entry for each storage."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        directory = self._find_directory()
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        self._check_entries(entries, directory)
        self.entries = {entry.filename: entry for entry in entries}
        pickles = [name for name in self.entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"it has {len(pickles)} entries data.pkl; torch.save writes one")
        self.folder = pickles[0].removesuffix("data.pkl")
        self.storages: dict[str, torch.UntypedStorage] = {}

    def _find_directory(self) -> int:
        """Find the position of the directory; check that it ends where the file does.

        Raises:
            ValueError: if it does not, or has more entries than any network.
        """
        self.file.seek(max(0, self.size - _ENDS_BYTES))
        ends = self.file.read()
        end = ends[-_END_BYTES:]
        if not end.startswith(_ZIP_END):
            raise ValueError("it is truncated, or a zip archive with a comment or other data at its end, "
                             "which torch.save never writes")
        size, position = struct.unpack("<LL", end[12:20])
        end_bytes = _END_BYTES
        if ends.startswith(_ZIP64_END) and ends[56:].startswith(_ZIP64_LOCATOR):
            size, position = struct.unpack("<QQ", ends[40:56])
            end_bytes = _ENDS_BYTES
        if position + size + end_bytes != self.size:
            raise ValueError("its directory is not where it should be; it may contain a second archive")
        if size > MAX_DIRECTORY_BYTES:
            raise ValueError(f"its directory has {size} bytes, more than {MAX_DIRECTORY_BYTES}")
        return position

    def _check_entries(self, entries: list[zipfile.ZipInfo], directory: int) -> None:
        """Check that every reader of zip archives finds the same entries.

        Args:
            entries: the entries as the directory lists them.
            directory: the position of the directory.

        Raises:
            ValueError: if names occur twice, or the entries do not fill the file up to the directory.
        """
        duplicates = len(entries) - len({entry.filename.lower() for entry in entries})
        if duplicates:
            raise ValueError(f"it has {duplicates} duplicate entries; torch.save writes none")
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size
               for entry in entries):
            raise ValueError("its entries are compressed, which torch.save never does")
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if not end <= entry.header_offset <= end + (_DESCRIPTOR_BYTES if end else 0):
                raise ValueError("its entries overlap or have other data between them")
            end = self._data_start(entry) + entry.file_size
        if not end <= directory <= end + _DESCRIPTOR_BYTES:
            raise ValueError("it has other data behind its entries")

    def _data_start(self, entry: zipfile.ZipInfo) -> int:
        """Return the position of an entry's data, behind its local header."""
        self.file.seek(entry.header_offset)
        header = self.file.read(_HEADER_BYTES)
        name_bytes, extra_bytes = struct.unpack("<HH", header[26:])
        name = self.file.read(name_bytes).decode("utf-8" if entry.flag_bits & 0x800 else "cp437")
        if not header.startswith(_ZIP_START) or name != entry.orig_filename:
            raise ValueError("the names of its entries differ from those in its directory")
        return entry.header_offset + _HEADER_BYTES + name_bytes + extra_bytes

    def _read(self, name: str, limit: int) -> bytes:
        entry = self.entries[self.folder + name]
        if entry.file_size > limit:
            raise ValueError(f"its {name} has {entry.file_size} bytes, more than {limit}")
        self.file.seek(self._data_start(entry))
        return self.file.read(entry.file_size)

    def _load_storage(self, key: str, items: int, item_bytes: int) -> torch.UntypedStorage:
        size = items * item_bytes
        entry = self.entries.get(f"{self.folder}data/{key}")
        available = entry.file_size if entry else 0
        if size != available:
            raise ValueError(f"a tensor declares {size} bytes, the file has {available} for it")
        if entry and key not in self.storages:
            self.file.seek(self._data_start(entry))
            self.storages[key] = _read_storage(self.file, size)
        return self.storages[key] if entry else torch.UntypedStorage(0)

    def load(self) -> Any:
        """Read the content."""
        if f"{self.folder}byteorder" in self.entries and self._read("byteorder", 10) != b"little":
            raise ValueError("it was written by a machine with big-endian numbers; load and save it there "
                             "as numbers of little-endian order")
        if f"{self.folder}{RUN_RECORD}" in self.entries and not is_run_id(
                self._read(RUN_RECORD, 32).decode("ascii", "replace")):
            raise ValueError("the identifier of its run is not of 32 hexadecimal digits")
        stream = io.BytesIO(self._read("data.pkl", MAX_PICKLE_BYTES))
        return WeightsUnpickler(stream, self._load_storage, MAX_SHARING * self.size).load()


class _Pickles:
    """The pickles at the start of a file of the old format, which read no more than a file can have."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.remaining = MAX_PICKLE_BYTES

    def read(self, size: int) -> bytes:
        """Read bytes."""
        if size > self.remaining:
            raise ValueError(f"its data without tensors have more than {MAX_PICKLE_BYTES} bytes")
        self.remaining -= size
        return self.file.read(size)

    def readline(self) -> bytes:
        """Read a line."""
        line = self.file.readline(min(self.remaining, 1000))
        self.remaining -= len(line)
        return line


class _LegacyReader:
    """Reads a sequence of pickles, followed by the storages."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.stream = _Pickles(file)
        self.storages: dict[str, torch.UntypedStorage] = {}
        self.items: dict[str, int] = {}
        self.declared_bytes = 0

    def _load_storage(self, key: str, items: int, item_bytes: int) -> torch.UntypedStorage:
        """Allocate a storage; its values follow later in the file."""
        size = items * item_bytes
        if key not in self.storages:
            self.declared_bytes += size
            if self.declared_bytes > self.size:
                raise ValueError("its tensors declare more bytes than the file has")
            self.storages[key] = torch.UntypedStorage(size)
            self.items[key] = items
        if self.storages[key].nbytes() != size:
            raise ValueError(f"a tensor declares {size} bytes, another one with the same values "
                             f"{self.storages[key].nbytes()}")
        return self.storages[key]

    def _unpickle(self) -> Any:
        return WeightsUnpickler(self.stream, self._load_storage, MAX_SHARING * self.size).load()

    def load(self) -> Any:
        """Read the content."""
        if self._unpickle() != _LEGACY_MAGIC or self._unpickle() != _LEGACY_PROTOCOL:
            raise ValueError("it was not written by torch.save")
        if self._unpickle().get("little_endian") is not True:
            raise ValueError("it was written by a machine with big-endian numbers; load and save it there "
                             "as numbers of little-endian order")
        content = self._unpickle()
        keys = self._unpickle()
        if sorted(keys) != sorted(self.storages):
            raise ValueError("the values of some of its tensors are missing or occur twice")
        for key in keys:
            self._fill(self.storages[key], self.items[key])
        if self.file.read(1):
            raise ValueError("it has other data at its end")
        return content

    def _fill(self, storage: torch.UntypedStorage, declared: int) -> None:
        """Read the values of a storage, behind their number."""
        (items,) = struct.unpack("<q", self.file.read(8))
        if items != declared:
            raise ValueError(f"a tensor declares {declared} values, the file has {items} for it")
        values = torch.empty(0, dtype=torch.uint8).set_(storage)  # type: ignore[call-overload]
        if self.file.readinto(values.numpy()) != values.numel():  # type: ignore[attr-defined]
            raise ValueError("it is truncated")

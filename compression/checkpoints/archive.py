"""A reader of the files of ``torch.save``.

``torch.load(weights_only=True)`` runs no foreign code, but it trusts the sizes in a file, and it may find
other data in it than a second reader that checks it first. Here a file is read once: what was checked is what
is used. Both formats are read: the zip archive since PyTorch 1.6, and the sequence of pickles before.
"""
from __future__ import annotations

import io
import os
import struct
from typing import Any, BinaryIO

import torch

from .run_ids import RUN_RECORD, is_run_id
from .unpickling import MAX_PICKLE_BYTES, WeightsUnpickler
from .zip_entries import ZIP_START, ZipEntries

MAX_SHARING = 4  # how many times the bytes of a file all its tensors may have together
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


def read_archive(file: BinaryIO) -> Any:
    """Read a file of ``torch.save`` that contains only tensors and plain data; tensors are on the CPU.

    Args:
        file: the file, open at its start. Its position afterwards is undefined.

    Raises:
        ValueError: states the problem, as the end of a sentence about the file.
    """
    start = file.read(len(ZIP_START))
    file.seek(0)
    try:
        return _ZipReader(file).load() if start == ZIP_START else _LegacyReader(file).load()
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
        self.entries = ZipEntries(file)
        pickles = [name for name in self.entries.sizes
                   if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"it has {len(pickles)} entries data.pkl; torch.save writes one")
        self.folder = pickles[0].removesuffix("data.pkl")
        self.storages: dict[str, torch.UntypedStorage] = {}

    def _load_storage(self, key: str, items: int, item_bytes: int) -> torch.UntypedStorage:
        size = items * item_bytes
        name = f"{self.folder}data/{key}"
        available = self.entries.sizes.get(name, 0)
        if size != available:
            raise ValueError(f"a tensor declares {size} bytes, the file has {available} for it")
        if name not in self.entries.sizes:
            return torch.UntypedStorage(0)
        if key not in self.storages:
            self.storages[key] = _read_storage(self.file, self.entries.seek(name))
        return self.storages[key]

    def load(self) -> Any:
        """Read the content."""
        byteorder, run, content = (self.folder + name for name in ("byteorder", RUN_RECORD, "data.pkl"))
        if byteorder in self.entries.sizes and self.entries.read(byteorder, 10) != b"little":
            raise ValueError("it was written by a machine with big-endian numbers; load and save it there "
                             "as numbers of little-endian order")
        if run in self.entries.sizes and not is_run_id(self.entries.read(run, 32).decode("ascii", "replace")):
            raise ValueError("the identifier of its run is not of 32 hexadecimal digits")
        stream = io.BytesIO(self.entries.read(content, MAX_PICKLE_BYTES))
        return WeightsUnpickler(stream, self._load_storage, MAX_SHARING * self.entries.size).load()


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
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ValueError("it has no list of its tensors")
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

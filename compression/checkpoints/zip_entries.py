"""The entries of a zip archive that ``torch.save`` wrote, found in the only way that all readers agree on."""
from __future__ import annotations

import os
import struct
import zipfile
from typing import BinaryIO

MAX_DIRECTORY_BYTES = 2 ** 21  # more than 20,000 tensors
ZIP_START = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
_ZIP64_END = b"PK\x06\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_HEADER_BYTES = 30  # in front of an entry
_DESCRIPTOR_BYTES = 24  # behind an entry: its sizes once more
_END_BYTES = 22
_ENDS_BYTES = 98  # with the additional end of an archive of 64-bit sizes


class ZipEntries:
    """The entries of an archive: its directory, its headers, and its data describe the same ones.

    Args:
        file: the archive, open for reading.

    Attributes:
        size: bytes of the archive.
        sizes: name of an entry -> bytes of its data.

    Raises:
        ValueError: if it has duplicate or compressed entries, or data that belong to no entry.
        Exception: zipfile raises many other types if the file is not a zip archive.
    """

    def __init__(self, file: BinaryIO):
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        directory = self._find_directory()
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        self._starts: dict[str, int] = {}
        self._check(entries, directory)
        self.sizes = {entry.filename: entry.file_size for entry in entries}

    def seek(self, name: str) -> int:
        """Move the file to the data of an entry; returns their number of bytes."""
        self.file.seek(self._starts[name])
        return self.sizes[name]

    def read(self, name: str, limit: int) -> bytes:
        """Read an entry.

        Raises:
            ValueError: if it has more than `limit` bytes.
        """
        size = self.seek(name)
        if size > limit:
            raise ValueError(f"its {name.partition('/')[2]} has {size} bytes, more than {limit}")
        return self.file.read(size)

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

    def _check(self, entries: list[zipfile.ZipInfo], directory: int) -> None:
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
            self._starts[entry.filename] = self._data_start(entry)
            end = self._starts[entry.filename] + entry.file_size
        if not end <= directory <= end + _DESCRIPTOR_BYTES:
            raise ValueError("it has other data behind its entries")

    def _data_start(self, entry: zipfile.ZipInfo) -> int:
        """Return the position of an entry's data, behind its local header."""
        self.file.seek(entry.header_offset)
        header = self.file.read(_HEADER_BYTES)
        name_bytes, extra_bytes = struct.unpack("<HH", header[26:])
        name = self.file.read(name_bytes).decode("utf-8" if entry.flag_bits & 0x800 else "cp437")
        if not header.startswith(ZIP_START) or name != entry.orig_filename:
            raise ValueError("the names of its entries differ from those in its directory")
        return entry.header_offset + _HEADER_BYTES + name_bytes + extra_bytes

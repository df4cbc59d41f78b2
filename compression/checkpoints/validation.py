"""Validation of checkpoint files before they are loaded.

``torch.load(weights_only=True)`` runs no foreign code, but it trusts the sizes in a file: a few bytes can
declare a tensor of terabytes. Here the pickle in a file is read without creating tensors, and every declared
size is compared with the number of bytes in the file.
"""
from __future__ import annotations

import math
import pickle
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, BinaryIO

_ZIP_START = b"PK\x03\x04"  # files of torch.save
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # files of torch.save before PyTorch 1.6
_ITEM_BYTES = {"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
               "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
               "BoolStorage": 1}
_DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


def validate_archive(file: BinaryIO) -> None:
    """Check that a file of ``torch.save`` contains only tensors and plain data, and all bytes of its tensors.

    Args:
        file: the file, open at its start. Its position afterwards is undefined.

    Raises:
        ValueError: states the problem, as the end of a sentence about the file.
    """
    start = file.read(len(_ZIP_START))
    file.seek(0)
    try:
        if start == _ZIP_START:
            _validate_zip(file)
        else:
            _validate_legacy(file)
    except ValueError:
        raise
    except Exception as error:  # pickle and zipfile raise many types for other files
        raise ValueError(f"it is truncated or of another format ({type(error).__name__})") from None


def _validate_zip(file: BinaryIO) -> None:
    """Validate the format since PyTorch 1.6: a zip archive of a pickle and one record for each storage."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        sizes = {entry.filename: entry.file_size for entry in entries}
        pickles = [name for name in sizes if name.count("/") == 1 and name.endswith("/data.pkl")]
        duplicates = len(entries) - len(sizes)
        if len(pickles) != 1 or duplicates:
            raise ValueError(f"it has {len(pickles)} entries data.pkl and {duplicates} duplicate entries; "
                             "torch.save writes one and none")
        if archive.comment:
            raise ValueError("it is a zip archive with a comment, which torch.save never writes")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its entries are compressed, which torch.save never does")
        if sum(sizes.values()) > file.seek(0, 2):
            raise ValueError("its entries declare more bytes than the file has")
        folder = pickles[0].removesuffix("data.pkl")
        with archive.open(pickles[0]) as stream:
            SizeCheckingUnpickler(stream, lambda key: sizes.get(f"{folder}data/{key}", 0)).load()


def _validate_legacy(file: BinaryIO) -> None:
    """Validate the format before PyTorch 1.6: a sequence of pickles, then the storages."""
    file_size = file.seek(0, 2)
    file.seek(0)
    if SizeCheckingUnpickler(file, lambda key: file_size).load() != _LEGACY_MAGIC:
        raise ValueError("it was not written by torch.save")
    for _ in range(3):  # the protocol version, the system's byte order and sizes, the object
        unpickler = SizeCheckingUnpickler(file, lambda key: file_size)
        unpickler.load()
    if sum(unpickler.storage_bytes.values()) > file_size:
        raise ValueError("its tensors declare more bytes than the file has")


@dataclass(frozen=True)
class _Storage:
    """Stands in for a tensor storage of `items` values."""

    items: int


def _check_tensor(storage: _Storage, offset: int, size: tuple, stride: tuple, *_: object) -> None:
    """Stand in for the construction of a tensor: check that it lies within its storage."""
    numbers = (offset, *size, *stride)
    are_valid = all(type(number) is int and 0 <= number < 2 ** 63 for number in numbers)
    if not isinstance(storage, _Storage) or len(size) != len(stride) or len(size) > 64 or not are_valid:
        raise ValueError("it describes an impossible tensor")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    items = math.prod(size)
    if items > storage.items or (items and last >= storage.items):
        raise ValueError(f"a tensor of shape {tuple(size)} declares more values than the {storage.items} "
                         "stored for it")


def _reject(kind: str) -> Callable[..., None]:
    """Stand in for the construction of a tensor that is not supported."""
    def reject(*_: object) -> None:
        raise ValueError(f"it contains {kind} tensors; only ordinary (dense) ones are supported")
    return reject


# What the unpickler uses for each global that torch.save writes: nothing here creates a tensor or runs code.
_STAND_INS: dict[str, object] = {
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": Counter,
    "builtins.set": set,
    "_codecs.encode": lambda text, *_: text,
    "torch._utils._rebuild_tensor_v2": _check_tensor,
    "torch._utils._rebuild_tensor": _check_tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch.Size": tuple,
    "torch.device": lambda *_: None,
    "torch.per_tensor_affine": None,
    "torch.serialization._get_layout": _reject("sparse"),
    "torch._utils._rebuild_sparse_tensor": _reject("sparse"),
    "torch._utils._rebuild_qtensor": _reject("quantized"),
    "torch._utils._rebuild_meta_tensor_no_storage": _reject("empty meta"),
    **{f"torch.{storage}": item_bytes for storage, item_bytes in _ITEM_BYTES.items()},
    **{f"torch.{dtype}": None for dtype in _DTYPES},
}


class SizeCheckingUnpickler(pickle._Unpickler):  # in Python: the one in C allocates what a file declares
    """Reads a pickle of plain data and tensors without creating tensors; rejects any other object.

    Args:
        file: the stream.
        available_bytes: storage key -> number of bytes that the file has for it.

    Attributes:
        storage_bytes: storage key -> number of bytes that the pickle declares for it.
    """

    def __init__(self, file: IO[bytes], available_bytes: Callable[[str], int]):
        super().__init__(file)
        self.available_bytes = available_bytes
        self.storage_bytes: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> object:
        """Return the stand-in of a global.

        Raises:
            ValueError: if it has none.
        """
        full_name = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full_name in _STAND_INS:
            return _STAND_INS[full_name]
        if module == "torch" and name.endswith("Storage"):
            raise ValueError(f"it contains a tensor in {name}; only ordinary (dense) ones are supported")
        raise ValueError(f"it holds Python objects, which are never run ({full_name})")

    def persistent_load(self, saved: tuple) -> _Storage:
        """Return the stand-in of a storage.

        Raises:
            ValueError: if the file has fewer bytes than the storage declares.
        """
        kind, item_bytes, key, _, items, *_ = saved
        if kind != "storage" or type(item_bytes) is not int or type(items) is not int or items < 0:
            raise ValueError("it refers to an object that is not a tensor")
        if items * item_bytes > self.available_bytes(key):
            raise ValueError(f"a tensor declares {items * item_bytes} bytes, the file has "
                             f"{self.available_bytes(key)} for it")
        self.storage_bytes[key] = items * item_bytes
        return _Storage(items)

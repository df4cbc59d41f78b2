"""What a checkpoint file claims to hold, read without making any of it.

``torch.load(weights_only=True)`` runs no foreign code, but it trusts the sizes in a file: a few bytes can claim
terabytes, or more than the file's record of a tensor has. Here the pickle inside is read with stand-ins for tensors, and
every claim is compared with the bytes that are there.
"""
from __future__ import annotations

import math
import pickle
import zipfile
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import BinaryIO

_ZIP, _LEGACY = b"PK\x03\x04", 0x1950A86A20F9469CFC6C  # how files of torch.save begin, now and before torch 1.6
_ITEM_BYTES = {"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8,
               "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1}


def validate_archive(file: BinaryIO) -> None:
    """Check that a file of ``torch.save`` has tensors and plain data alone, and the bytes that its tensors claim.

    Args:
        file: open at its start; left anywhere.

    Raises:
        ValueError: says what is wrong, as the end of a sentence about the file.
    """
    start = file.read(len(_ZIP))
    file.seek(0)
    try:
        (_vet_zip if start == _ZIP else _vet_legacy)(file)
    except ValueError:
        raise
    except Exception as error:  # pickle and zipfile raise many types for foreign files
        raise ValueError(f"it is truncated or foreign ({type(error).__name__})") from None


def _vet_zip(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        sizes = {entry.filename: entry.file_size for entry in entries}
        pickles = [name for name in sizes if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(sizes) != len(entries):
            raise ValueError(f"it has {len(pickles)} entries data.pkl and {len(entries) - len(sizes)} double ones; torch.save "
                             "writes one and none")
        if archive.comment:
            raise ValueError("it is a zip archive with a comment, which torch.save never writes")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its entries are compressed, which torch.save never does")
        if sum(sizes.values()) > file.seek(0, 2):
            raise ValueError("its entries claim more bytes than the file has")
        folder = pickles[0].removesuffix("data.pkl")
        with archive.open(pickles[0]) as stream:
            SizeCheckingUnpickler(stream, lambda key: sizes.get(f"{folder}data/{key}", 0)).load()


def _vet_legacy(file: BinaryIO) -> None:
    size = file.seek(0, 2)
    file.seek(0)
    claims = SizeCheckingUnpickler(file, lambda key: size)
    if claims.load() != _LEGACY:
        raise ValueError("torch.save did not write it")
    for _ in range(3):  # protocol, byte order and sizes of its writer, then the object
        claims = SizeCheckingUnpickler(file, lambda key: size)
        claims.load()
    if sum(claims.storages.values()) > size:
        raise ValueError("its tensors claim more bytes than the file has")


@dataclass(frozen=True)
class _Storage:
    items: int


def _tensor(storage: _Storage, offset: int, size: tuple, stride: tuple, *_: object) -> None:
    numbers = (offset, *size, *stride)
    if (not isinstance(storage, _Storage) or len(size) != len(stride) or len(size) > 64
            or any(type(n) is not int or not 0 <= n < 2 ** 63 for n in numbers)):
        raise ValueError("it describes a tensor that cannot be")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if math.prod(size) > storage.items or (math.prod(size) and last >= storage.items):
        raise ValueError(f"a tensor of shape {tuple(size)} claims more values than the {storage.items} stored for it")


def _refuse(kind: str):
    def refuse(*_: object) -> None:
        raise ValueError(f"it holds {kind} tensors, wanted ordinary ones")
    return refuse


_STAND_INS = {
    "collections.OrderedDict": OrderedDict, "collections.Counter": Counter, "builtins.set": set,
    "_codecs.encode": lambda text, *_: text,
    "torch._utils._rebuild_tensor_v2": _tensor, "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data, "torch.Size": tuple, "torch.device": lambda *_: None,
    "torch.serialization._get_layout": _refuse("sparse"), "torch._utils._rebuild_sparse_tensor": _refuse("sparse"),
    "torch._utils._rebuild_qtensor": _refuse("quantized"), "torch.per_tensor_affine": None,
    "torch._utils._rebuild_meta_tensor_no_storage": _refuse("empty meta"),
    **{f"torch.{name}": nbytes for name, nbytes in _ITEM_BYTES.items()},
    **{f"torch.{name}": None for name in ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64",
                                          "uint8", "bool")}}


class SizeCheckingUnpickler(pickle._Unpickler):  # the one written in Python: the one in C takes memory for what a file only claims
    """Reads a pickle; tensors become stand-ins, and any other object than plain data is refused.

    Args:
        file: the stream.
        bytes_of: storage key -> how many bytes the file has for it.
    """

    def __init__(self, file: BinaryIO, bytes_of):
        super().__init__(file)
        self.bytes_of, self.storages = bytes_of, {}

    def find_class(self, module: str, name: str) -> object:
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if module == "torch" and name.endswith("Storage") and full not in _STAND_INS:
            raise ValueError(f"it holds a tensor in {name}, wanted ordinary ones")
        if full not in _STAND_INS:
            raise ValueError(f"it holds Python objects, which are never run ({full})")
        return _STAND_INS[full]

    def persistent_load(self, saved: tuple) -> _Storage:
        kind, nbytes, key, _, items, *_ = saved
        if kind != "storage" or type(nbytes) is not int or type(items) is not int or items < 0:
            raise ValueError("it refers to something that is no ordinary tensor")
        if items * nbytes > self.bytes_of(key):
            raise ValueError(f"a tensor claims {items * nbytes} bytes, the file has {self.bytes_of(key)} for it")
        self.storages[key] = items * nbytes
        return _Storage(items)

"""A reader of the pickles in checkpoints. It builds tensors and plain data, and nothing else.

It calls no function that a pickle names: each of the few names that files of weights contain has a
counterpart here. Time and memory are proportional to the size of the pickle and of its tensors.
"""
from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from .files import collection_paused

MAX_PICKLE_BYTES = 2 ** 21  # without the values of tensors; training states have less than 1 MB
MAX_VALUES = 2 ** 21
MAX_CONTAINERS = 2 ** 17  # lists, tuples, and dictionaries: a training state has a few for each tensor
MAX_LEVELS = 50  # of nested lists, tuples, and dictionaries
MAX_INTEGER_BYTES = 32  # the states of random generators have up to 17
_TEXT_OF_A_VALUE = 64  # characters of text that count as one more value
_TOO_DEEP = f"its data are nested in more than {MAX_LEVELS} levels"
_DTYPES = {"DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
           "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
           "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
           "BoolStorage": torch.bool}
_OPCODES = (
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.MEMOIZE,
    pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET, pickle.NONE, pickle.NEWTRUE,
    pickle.NEWFALSE, pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1,
    pickle.BINFLOAT, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINSTRING, pickle.SHORT_BINSTRING,
    pickle.EMPTY_TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.TUPLE, pickle.EMPTY_LIST,
    pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS, pickle.GLOBAL,
    pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD, pickle.BINPERSID)


# in Python: the one in C allocates what a file declares
_Unpickler: Any = pickle._Unpickler


@dataclass(frozen=True)
class Storage:
    """The values of one or more tensors: `content`, of type `dtype`."""

    content: torch.UntypedStorage
    dtype: torch.dtype

    @property
    def items(self) -> int:
        """Number of values."""
        return self.content.nbytes() // self.dtype.itemsize


class WeightsUnpickler(_Unpickler):
    """Reads a pickle of plain data and tensors; rejects any other object.

    Args:
        stream: the pickle; has ``read`` and ``readline``.
        load_storage: (key, number of values, bytes of a value) -> the storage. It must not allocate more
            than the file has.
        max_tensor_bytes: limit of the bytes of all tensors together. Tensors may share a storage.

    Raises:
        ValueError: on :meth:`load`, with the reason as the end of a sentence about the file.
    """

    def __init__(self, stream: Any, load_storage: Callable[[str, int, int], torch.UntypedStorage],
                 max_tensor_bytes: int):
        super().__init__(stream, encoding="utf-8")
        self.load_storage = load_storage
        self.max_tensor_bytes = max_tensor_bytes

    def load(self) -> Any:
        """Read the pickle."""
        with collection_paused():
            content = super().load()
        self.memo.clear()  # it refers to this object, which would keep the tensors in memory
        check_extent(content, self.max_tensor_bytes)
        return content

    def find_class(self, module: str, name: str) -> object:
        """Return what stands for a name in the pickle.

        Raises:
            ValueError: if files of weights do not contain this name.
        """
        full_name = f"{module}.{name}"
        if full_name in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"):
            return self._tensor
        if full_name in _NAMES:
            return _NAMES[full_name]
        shown = f"{'builtins' if module == '__builtin__' else module}.{name}"[:80]
        if module == "torch" and name.endswith("Storage"):
            raise ValueError(f"it contains a tensor in {shown[6:]}; only ordinary (dense) ones are supported")
        raise ValueError(f"it holds Python objects, which are never run ({shown})")

    def persistent_load(self, saved: Any) -> Storage:
        """Load a storage."""
        kind, dtype, key, _, items, *view = _tuple(saved)
        is_storage = kind == "storage" and isinstance(dtype, torch.dtype) and type(key) is str
        if not is_storage or type(items) is not int or not 0 <= items < 2 ** 60:
            raise ValueError("it refers to an object that is not a tensor")
        if any(part is not None for part in view):
            raise ValueError("it has views of storages, as files of PyTorch before 0.4; save its state dict "
                             "again with a later version")
        return Storage(self.load_storage(key, items, dtype.itemsize), dtype)

    def _tensor(self, storage: object, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
        """Build a tensor that lies within its storage."""
        if not isinstance(storage, Storage) or len(_tuple(size)) != len(_tuple(stride)) or len(size) > 64:
            raise ValueError("it describes an impossible tensor")
        if not all(type(number) is int and 0 <= number < 2 ** 60 for number in (offset, *size, *stride)):
            raise ValueError("it describes an impossible tensor")
        if math.prod(length or 1 for length in size) >= 2 ** 60:  # without values, but with huge strides
            raise ValueError("it describes an impossible tensor")
        items = math.prod(size)
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if items > storage.items or (items and last >= storage.items):
            raise ValueError(f"a tensor of shape {tuple(size)} declares more values than the {storage.items} "
                             "stored for it")
        return torch.empty(0, dtype=storage.dtype).set_(storage.content, offset, size, stride)

    def load_reduce(self) -> None:
        """Replace a name and its arguments by what they stand for."""
        arguments = _tuple(self.stack.pop())
        self.stack[-1] = self.stack[-1](*arguments)

    def load_build(self) -> None:
        """Drop the attributes of a dictionary, the versions of a network's modules."""
        self.stack.pop()

    def load_setitem(self) -> None:
        """Set an entry of a dictionary."""
        value = self.stack.pop()
        key = self.stack.pop()
        self._set_item(key, value)

    def load_setitems(self) -> None:
        """Set the entries of a dictionary."""
        entries = self.pop_mark()
        for i in range(0, len(entries), 2):
            self._set_item(entries[i], entries[i + 1])

    def _set_item(self, key: object, value: object) -> None:
        if not isinstance(self.stack[-1], dict):
            raise ValueError("it sets entries of an object that is not a dictionary")
        self.stack[-1][_checked_key(key)] = value

    def load_mark(self) -> None:
        """Begin a tuple, a list, or the entries of a dictionary."""
        if len(self.metastack) > 2 * MAX_LEVELS:  # the arguments of tensors are levels, too
            raise ValueError(_TOO_DEEP)
        super().load_mark()

    def load_int(self) -> None:
        """Read an integer or a truth value as Python 2 writes it."""
        text = self.readline()[:-1]
        if len(text) > 20:
            raise ValueError("it contains an integer of too many digits")
        self.append({b"00": False, b"01": True}[text] if text in (b"00", b"01") else int(text))

    def load_long(self) -> None:
        """Read a long integer."""
        length = self.read(1)[0]
        if length > MAX_INTEGER_BYTES:
            raise ValueError(f"it contains an integer of {length} bytes")
        self.append(pickle.decode_long(self.read(length)))

    def reject_opcode(self) -> NoReturn:
        """Reject an instruction that files of weights do not contain."""
        raise ValueError("it holds Python objects, which are never run")

    dispatch = {**dict.fromkeys(_Unpickler.dispatch, reject_opcode),
                **{code[0]: _Unpickler.dispatch[code[0]] for code in _OPCODES},
                pickle.REDUCE[0]: load_reduce, pickle.BUILD[0]: load_build, pickle.SETITEM[0]: load_setitem,
                pickle.SETITEMS[0]: load_setitems, pickle.MARK[0]: load_mark, pickle.INT[0]: load_int,
                pickle.LONG1[0]: load_long}


def _checked_key(key: object) -> str | int:
    """Return a key of a dictionary; to compute the hash of other types may take for ever."""
    if not isinstance(key, (str, int)):
        raise ValueError("it has a dictionary with a key that is neither text nor an integer")
    return key


def _tuple(values: object) -> tuple:
    """Return a tuple; a tensor in its place would be split into its values."""
    if not isinstance(values, tuple):
        raise ValueError("it holds another object in the place of a tuple")
    return values


def _ordered_dict(pairs: object = ()) -> OrderedDict:
    """Build an ordered dictionary; Python 2 saved its entries as a list of pairs."""
    entries: OrderedDict = OrderedDict()
    if pairs:
        if not isinstance(pairs, list):
            raise ValueError("it holds another object in the place of a list")
        for pair in pairs:
            if not isinstance(pair, (list, tuple)):
                raise ValueError("it holds another object in the place of a pair")
            key, value = pair
            entries[_checked_key(key)] = value
        pairs.clear()  # one list cannot be repeated in many dictionaries
    return entries


def _reject(kind: str) -> Callable[..., None]:
    """Stand for a tensor that is not supported."""
    def reject(*_: object) -> None:
        raise ValueError(f"it contains {kind} tensors; only ordinary (dense) ones are supported")
    return reject


# what stands for each further name in a pickle; a type of storage is the type of its values
_NAMES: dict[str, object] = {
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _tuple,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch.serialization._get_layout": _reject("sparse"),
    "torch._utils._rebuild_sparse_tensor": _reject("sparse"),
    "torch._utils._rebuild_qtensor": _reject("quantized"),
    "torch.per_tensor_affine": None,
    "torch._utils._rebuild_meta_tensor_no_storage": _reject("empty meta"),
    **dict.fromkeys(map(str, _DTYPES.values())),  # an argument of tensors that are not supported
    **{f"torch.{name}": dtype for name, dtype in _DTYPES.items()},
}


def check_extent(content: object, max_tensor_bytes: int) -> None:
    """Check the levels of nested lists, tuples, and dictionaries, and the number of values in them.

    A part that is contained several times counts each time, so that the limits also hold for anything that
    visits or copies all values.

    Raises:
        ValueError: if there are more levels than ``MAX_LEVELS``, more values than ``MAX_VALUES``, or tensors
            of more than `max_tensor_bytes`.
    """
    measured: dict[int, tuple[int, int, int]] = {}  # id of a part -> levels, values, bytes of tensors

    def measure(part: dict | list | tuple, depth: int) -> tuple[int, int, int]:
        if id(part) in measured:
            return measured[id(part)]
        if depth > MAX_LEVELS:  # or it contains itself
            raise ValueError(_TOO_DEEP)
        if len(measured) > MAX_CONTAINERS:
            raise ValueError(f"it has more than {MAX_CONTAINERS} lists, tuples, and dictionaries")
        levels, values, size = 0, 1, 0
        if isinstance(part, dict):
            values += sum(len(name) // _TEXT_OF_A_VALUE for name in part if isinstance(name, str))
        for value in part.values() if isinstance(part, dict) else part:
            values += 1
            if isinstance(value, (dict, list, tuple)):
                inner_levels, inner_values, inner_size = measure(value, depth + 1)
                levels = max(levels, inner_levels)
                values += inner_values
                size += inner_size
            elif isinstance(value, str):
                values += len(value) // _TEXT_OF_A_VALUE
            elif isinstance(value, Tensor):
                size += value.nbytes
        measured[id(part)] = levels + 1, values, size
        return measured[id(part)]

    levels, values, size = measure([content], -1)
    if levels - 1 > MAX_LEVELS:
        raise ValueError(_TOO_DEEP)
    if values > MAX_VALUES:
        raise ValueError("it repeats its values too often")
    if size > max_tensor_bytes:
        raise ValueError("its tensors share their values so often that copies would need many times its size")

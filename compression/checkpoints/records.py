"""Checks of what is read back from a file: its content is described by a dataclass.

Types of fields: ``bool``, ``int``, ``float`` (also for integers), ``str``, ``None``, ``Tensor``, ``Any``,
unions, ``list[T]``, ``tuple[T, ...]``, ``tuple[T, U]`` of a fixed length, ``dict[K, T]``, dataclasses,
and ``Annotated`` with ``Limits``, ``Length``, or ``Choices``.
"""
from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from itertools import repeat
from math import inf
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from .files import collection_paused

Record = TypeVar("Record")
_MAX_INTEGER = 2 ** 256  # the states of random generators have 128 bits
_WORDS: dict[Any, str] = {
    bool: "true or false", int: "an integer", float: "a number", str: "text", type(None): "null",
    list: "a list", tuple: "a list", dict: "an object"}


@dataclass(frozen=True)
class Limits:
    """The range of a number; NaN is never in it."""

    least: float = -inf
    most: float = inf


@dataclass(frozen=True)
class Length:
    """The maximum number of entries of a list, a tuple, or a dictionary."""

    most: int


@dataclass(frozen=True)
class Choices:
    """The values that a text may have."""

    values: tuple[str, ...]


Count = Annotated[int, Limits(0, 2 ** 53)]
Score = Annotated[float, Limits()]
Finite = Annotated[float, Limits(-sys.float_info.max, sys.float_info.max)]

_Side = Annotated[int, Limits(1, 65536)]
Size = tuple[_Side, _Side]  # (height, width) in pixels


@dataclass
class GeneratorNumbers:
    """The numbers of :class:`GeneratorState`."""

    state: Annotated[int, Limits(0, 2 ** 128 - 1)]
    inc: Annotated[int, Limits(0, 2 ** 128 - 1)]


@dataclass
class GeneratorState:
    """The state of a random generator of NumPy, as ``generator.bit_generator.state`` returns it."""

    bit_generator: Annotated[str, Choices(("PCG64",))]
    state: GeneratorNumbers
    has_uint32: Annotated[int, Limits(0, 1)]
    uinteger: Annotated[int, Limits(0, 2 ** 32 - 1)]


def read_record(kind: type[Record], content: object, source: str | Path, name: str = "") -> Record:
    """Convert the content of a file to a dataclass.

    Args:
        kind: the dataclass. Entries without a field are ignored.
        content: the content, as JSON or a checkpoint has it.
        source: the file, for messages.
        name: the entry of the file that is converted; empty for its whole content.

    Raises:
        ValueError: if an entry is missing, or has another type or range; the message names file and entry.
    """
    try:
        with collection_paused():
            return _kind_of(kind).read(content)  # type: ignore[arg-type]  # a class is hashable
    except _WrongEntry as error:
        entry = f"{name}{error.path}".removeprefix(".")
        raise ValueError(f"{source}: {f'{entry!r}' if entry else 'the content'} {error.problem}; the file is "
                         "damaged or was edited") from None


class _WrongEntry(Exception):
    """An entry that is not what it must be. Its path is completed by the readers of the outer entries."""

    def __init__(self, problem: str, path: str = ""):
        super().__init__(problem)
        self.problem = problem
        self.path = path


def _wrong(accepted: str, value: object) -> _WrongEntry:
    shown = f"{type(value).__name__}" if isinstance(value, (dict, list, tuple)) else repr(value)[:40]
    return _WrongEntry(f"must be {accepted}, got {shown}")


class _Kind(NamedTuple):
    """How entries of a type are read.

    Attributes:
        accepted: what messages call them.
        matches: whether an entry has this type; does not visit its parts.
        read: checks an entry with its parts and converts it.
    """

    accepted: str
    matches: Callable[[Any], bool]
    read: Callable[[Any], Any]


@cache
def _kind_of(kind: Any) -> _Kind:
    """Return the reader of a type."""
    origin = get_origin(kind)
    if kind is Any:
        return _Kind("anything", lambda value: True, lambda value: value)
    if origin is Annotated:
        return _limited(*get_args(kind))
    if origin in (Union, types.UnionType):
        return _union([_kind_of(part) for part in get_args(kind)])
    if is_dataclass(kind):
        return _object(kind)
    if origin is dict:
        return _dictionary(*get_args(kind))
    if origin is list or origin is tuple and get_args(kind)[-1] is Ellipsis:
        return _sequence(origin, _kind_of(get_args(kind)[0]))
    if origin is tuple:
        return _fixed_tuple([_kind_of(part) for part in get_args(kind)])
    return _plain(kind)


def _plain(kind: Any) -> _Kind:
    """Return the reader of values, and of containers whose parts are not checked."""
    accepted = _WORDS.get(kind, f"a {getattr(kind, '__name__', kind)}")

    def matches(value: object) -> bool:
        if isinstance(value, bool):
            return kind is bool
        if isinstance(value, (int, float)):
            return kind is float or isinstance(value, kind)
        return isinstance(value, (list, tuple) if kind is tuple else kind)

    def read(value: object) -> object:
        if not matches(value):
            raise _wrong(accepted, value)
        if isinstance(value, int) and not -_MAX_INTEGER < value < _MAX_INTEGER:
            raise _WrongEntry("must be an integer of at most 256 bits, got more")
        return value

    return _Kind(accepted, matches, read)


def _limited(kind: Any, limit: Any) -> _Kind:
    """Return the reader of numbers in a range, of containers of a limited length, or of some texts."""
    accepted, matches, read_any = _kind_of(kind)

    def read_number(value: Any) -> Any:
        number = read_any(value)
        if not limit.least <= number <= limit.most:
            raise _wrong(f"a number from {limit.least} to {limit.most}", value)
        return number

    def read_container(value: Any) -> Any:
        if matches(value) and len(value) > limit.most:
            raise _WrongEntry(f"must have at most {limit.most:,} entries, got {len(value):,}")
        return read_any(value)

    def read_text(value: Any) -> Any:
        if read_any(value) not in limit.values:
            raise _wrong(" or ".join(limit.values), value)
        return value

    readers = {Limits: read_number, Length: read_container, Choices: read_text}
    return _Kind(accepted, matches, readers[type(limit)])


def _union(kinds: list[_Kind]) -> _Kind:
    """Return the reader of entries that may have several types: the first one that matches decides."""
    accepted = " or ".join(kind.accepted for kind in kinds)

    def read(value: Any) -> Any:
        for kind in kinds:
            if kind.matches(value):
                return kind.read(value)
        raise _wrong(accepted, value)

    return _Kind(accepted, lambda value: any(kind.matches(value) for kind in kinds), read)


def _sequence(origin: Callable[[list], Any], inner: _Kind) -> _Kind:
    """Return the reader of lists and tuples of any length."""
    whole = _plain(origin)

    def read(value: Any) -> Any:
        whole.read(value)
        return origin(_read_parts(repeat(inner), value))

    return _Kind(whole.accepted, whole.matches, read)


def _fixed_tuple(kinds: list[_Kind]) -> _Kind:
    """Return the reader of tuples with one type for each position; JSON has lists in their place."""
    accepted = f"a list of {len(kinds)} entries"
    whole = _plain(tuple)

    def read(value: Any) -> tuple:
        whole.read(value)
        if len(value) != len(kinds):
            raise _WrongEntry(f"must be {accepted}, got {len(value)}")
        return tuple(_read_parts(kinds, value))

    return _Kind(accepted, whole.matches, read)


def _read_parts(kinds: Iterable[_Kind], values: Sequence) -> list:
    """Read the entries of a sequence; errors name the position."""
    parts = []
    for i, (kind, part) in enumerate(zip(kinds, values, strict=False)):
        try:
            parts.append(kind.read(part))
        except _WrongEntry as error:
            error.path = f"[{i}]{error.path}"
            raise
    return parts


def _dictionary(key_kind: Any, inner_kind: Any) -> _Kind:
    """Return the reader of dictionaries."""
    whole, keys, inner = _plain(dict), _plain(key_kind), _kind_of(inner_kind)

    def read(value: Any) -> dict:
        whole.read(value)
        parts = {}
        for key, part in value.items():
            if not keys.matches(key):
                raise _wrong(f"an object whose names are {keys.accepted}", key)
            try:
                parts[key] = inner.read(part)
            except _WrongEntry as error:
                error.path = f".{str(key)[:40]}{error.path}"
                raise
        return parts

    return _Kind(whole.accepted, whole.matches, read)


def _object(kind: Any) -> _Kind:
    """Return the reader of an object for which there is a dataclass."""
    whole = _plain(dict)
    hints = get_type_hints(kind, include_extras=True)
    readers = {field.name: _kind_of(hints[field.name]).read for field in fields(kind)}
    required = {field.name for field in fields(kind)
                if field.default is MISSING and field.default_factory is MISSING}

    def read(value: Any) -> Any:
        whole.read(value)
        arguments = {}
        for name, read_field in readers.items():
            if name not in value:
                if name in required:
                    raise _WrongEntry("is missing", f".{name}")
                continue
            try:
                arguments[name] = read_field(value[name])
            except _WrongEntry as error:
                error.path = f".{name}{error.path}"
                raise
        return kind(**arguments)

    return _Kind(whole.accepted, whole.matches, read)

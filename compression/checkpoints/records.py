"""Checks of what is read back from a file: its content is described by a dataclass.

Types of fields: ``bool``, ``int``, ``float`` (also for integers), ``str``, ``None``, ``Tensor``, ``Any``,
unions, ``list[T]``, ``tuple[T, ...]``, ``dict[K, T]``, dataclasses, and ``Annotated[T, Limits(...)]``.
"""
from __future__ import annotations

import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

Record = TypeVar("Record")
_WORDS: dict[Any, str] = {
    bool: "true or false", int: "an integer", float: "a number", str: "text", type(None): "null",
    list: "a list", tuple: "a list", dict: "an object"}


@dataclass(frozen=True)
class Limits:
    """The range of a number; NaN is never in it."""

    least: float = -inf
    most: float = inf


Count = Annotated[int, Limits(0, 2 ** 53)]
Score = Annotated[float, Limits()]


def read_record(kind: type[Record], content: object, source: str | Path) -> Record:
    """Convert the content of a file to a dataclass.

    Args:
        kind: the dataclass. Entries without a field are ignored.
        content: the content, as JSON or a checkpoint has it.
        source: the file, for messages.

    Raises:
        ValueError: if an entry is missing, or has another type or range; the message names file and entry.
    """
    return _read(kind, content, str(source), "")


def _read(kind: Any, value: Any, source: str, name: str) -> Any:
    """Check one entry and return it; objects for which there is a dataclass are converted."""
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin is Annotated:
        inner, *limits = get_args(kind)
        number = _read(inner, value, source, name)
        for limit in limits:
            if not limit.least <= number <= limit.most:
                raise _wrong(source, name, f"a number from {limit.least} to {limit.most}", value)
        return number
    if origin in (Union, types.UnionType):
        return _read_union(get_args(kind), value, source, name)
    if is_dataclass(kind):
        return _read_fields(kind, value, source, name)
    if not _has_type(value, origin or kind):  # also of list, tuple, and dict
        raise _wrong(source, name, _WORDS.get(origin or kind, f"a {getattr(kind, '__name__', kind)}"), value)
    if kind is int and not -2 ** 256 < value < 2 ** 256:
        raise _wrong(source, name, "an integer of at most 256 bits", "more")
    if origin is dict:
        key_kind, inner = get_args(kind)
        for key in value:
            if not _has_type(key, key_kind):
                raise _wrong(source, name, f"an object whose names are {_WORDS[key_kind]}", key)
        return {key: _read(inner, part, source, f"{name}.{str(key)[:40]}") for key, part in value.items()}
    if origin in (list, tuple):
        inner = get_args(kind)[0]
        return origin(_read(inner, part, source, f"{name}[{i}]") for i, part in enumerate(value))
    return value


def _read_union(kinds: tuple, value: Any, source: str, name: str) -> Any:
    """Check an entry that may have several types: the error is that of the last one."""
    for kind in kinds[:-1]:
        try:
            return _read(kind, value, source, name)
        except ValueError:
            pass
    return _read(kinds[-1], value, source, name)


def _read_fields(kind: Any, value: Any, source: str, name: str) -> Any:
    """Convert an object to a dataclass."""
    if not isinstance(value, dict):
        raise _wrong(source, name, "an object", value)
    hints = get_type_hints(kind, include_extras=True)
    arguments = {}
    for field in fields(kind):
        part = f"{name}.{field.name}" if name else field.name
        if field.name in value:
            arguments[field.name] = _read(hints[field.name], value[field.name], source, part)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{source}: the entry '{part}' is missing; the file is damaged or was edited")
    return kind(**arguments)


def _has_type(value: object, kind: Any) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else (list, tuple) if kind is tuple else kind)


def _wrong(source: str, name: str, accepted: str, value: object) -> ValueError:
    entry = f"'{name.lstrip('.')}'" if name else "the content"
    shown = f"{type(value).__name__}" if isinstance(value, (dict, list, tuple)) else repr(value)[:40]
    return ValueError(f"{source}: {entry} must be {accepted}, got {shown}; the file is damaged or was edited")

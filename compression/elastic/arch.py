"""Architectures: the widths and depths of a generator, sub-network or student, as plain data."""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..runtime.text import printable
from .registry import family_by_name

Widths = int | tuple[int, ...]
# upper bounds on what a file can request, far above any real network
MAX_WIDTH = 2 ** 16
MAX_DEPTH = 1000
MAX_FILE_BYTES = 1_000_000
MAX_MESSAGE = 400


class Arch:
    """The widths (channels) of all layers of one generator; immutable, hashable and JSON-able.

    ``Arch("resnet", stem=(64, 128), trunk=256, inner=(256,) * 9, decoder=(128, 64))``. A field is one width
    or a sequence of widths. Where the family allows several depths, the length of a sequence is the depth.
    The constructor validates fields and lengths against the family.

    Args:
        family: name of a registered family.
        fields: the widths, positive integers; 0 is valid only where the family can skip a layer.

    Raises:
        ValueError: unknown family, missing or unknown field, wrong length, or an invalid width.
    """

    __slots__ = ("family", "_fields", "_hash")

    family: str
    _fields: dict[str, Widths]
    _hash: int

    def __init__(self, family: str, /, **fields: int | list[int] | tuple[int, ...]):
        spec = family_by_name(family)
        unknown = set(fields) - set(spec.fields)
        missing = set(spec.fields) - set(fields)
        if unknown or missing:
            raise ValueError(f"an architecture of family '{family}' has the fields {', '.join(spec.fields)}; "
                             f"missing: {sorted(missing) or 'none'}, unknown: {sorted(unknown) or 'none'}")
        frozen = {name: _validated(family, name, fields[name]) for name in spec.fields}
        object.__setattr__(self, "family", family)
        object.__setattr__(self, "_fields", frozen)
        object.__setattr__(self, "_hash", hash((family, tuple(frozen.values()))))
        spec.check(self)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._fields:
            return self._fields[name]
        raise AttributeError(f"Arch of family '{self.family}' has no field '{name}'")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an Arch is immutable; use replace()")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Arch) and (self.family, self._fields) == (other.family, other._fields)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Arch({self.family!r}, " + ", ".join(f"{k}={v}" for k, v in self._fields.items()) + ")"

    def __reduce__(self):
        return (Arch.from_json, (self.to_json(),))

    @property
    def fields(self) -> dict[str, Widths]:
        """Return the mapping from field name to width or tuple of widths, in the family's order."""
        return dict(self._fields)

    @property
    def widths(self) -> tuple[int, ...]:
        """Return all widths as one flat tuple, in field order."""
        flat: list[int] = []
        for value in self._fields.values():
            flat.extend(value if isinstance(value, tuple) else (value,))
        return tuple(flat)

    @property
    def skeleton(self) -> tuple:
        """Return what determines the layers apart from their widths: the family, and for every sequence its
        length and the positions of skipped layers (width 0)."""
        used = [tuple(w > 0 for w in value) if isinstance(value, tuple) else None
                for value in self._fields.values()]
        return (self.family, *used)

    def fits(self, full: Arch) -> bool:
        """Return whether this is a sub-network of `full`: the same family, no layer wider, no stage
        deeper."""
        if self.family != full.family:
            return False
        for value, limit in zip(self._fields.values(), full._fields.values(), strict=True):
            widths = value if isinstance(value, tuple) else (value,)
            limits = limit if isinstance(limit, tuple) else (limit,)
            if len(widths) > len(limits):
                return False
            if any(width > max_width for width, max_width in zip(widths, limits, strict=False)):
                return False
        return True

    def replace(self, **fields: int | tuple[int, ...]) -> Arch:
        """Return a copy with some fields changed."""
        return Arch(self.family, **{**self._fields, **fields})

    def with_widths(self, widths: tuple[int, ...]) -> Arch:
        """Return a copy with the same lengths and new widths, given as one flat tuple in field order."""
        flat = iter(widths)
        fields: dict[str, Widths] = {}
        for name, value in self._fields.items():
            fields[name] = tuple(next(flat) for _ in value) if isinstance(value, tuple) else next(flat)
        return Arch(self.family, **fields)

    def to_json(self) -> dict:
        """Return ``{"family": ..., field: width or list of widths}``."""
        fields = {name: list(value) if isinstance(value, tuple) else value
                  for name, value in self._fields.items()}
        return {"family": self.family, **fields}

    @staticmethod
    def from_json(data: Mapping) -> Arch:
        """Build an architecture from the output of :meth:`to_json`.

        Raises:
            ValueError: `data` is not the JSON form of an architecture, or exceeds the limits on width and
                depth.
        """
        is_object = isinstance(data, Mapping) and all(type(key) is str for key in data)
        if not is_object or not isinstance(data.get("family"), str):
            raise ValueError(f"an architecture is a JSON object with a 'family' entry, got {str(data)[:80]}")
        for name, value in data.items():
            widths = value if isinstance(value, (list, tuple)) else (value,)
            if len(widths) > MAX_DEPTH or any(isinstance(w, int) and w > MAX_WIDTH for w in widths):
                raise ValueError(f"'{name:.40}' of an architecture has at most {MAX_DEPTH} widths of at most "
                                 f"{MAX_WIDTH}, got more or larger ones")
        try:
            return Arch(data["family"], **{k: v for k, v in data.items() if k != "family"})
        except ValueError as error:  # it shows what it got, which may be long
            raise ValueError(printable(error, MAX_MESSAGE)) from None

    @staticmethod
    def load(path: str | Path) -> Arch:
        """Load an architecture from a JSON file that holds it at the top level or under the key ``"arch"``.

        Raises:
            ValueError: the file is missing, is not JSON or holds no valid architecture; the message names it.
        """
        try:
            data = load_strict_json(Path(path))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path}: cannot read an architecture ({error})") from None
        if isinstance(data, Mapping) and "arch" in data:
            data = data["arch"]
        try:
            return Arch.from_json(data)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def load_strict_json(path: Path) -> Any:
    """Load a JSON file as the standard defines it: no duplicate names, no NaN. Reject files larger than any
    architecture without reading them."""
    def reject_duplicates(pairs: list[tuple[str, object]]) -> dict:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("an object has a name twice")
        return dict(pairs)

    def reject_constant(text: str) -> None:
        raise ValueError(f"{text} is not a JSON number")

    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, "
                         f"an architecture has at most {MAX_FILE_BYTES:,}")
    return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=reject_duplicates,
                      parse_constant=reject_constant)


def _validated(family: str, name: str, value: object) -> Widths:
    """Return a field as an int or a tuple of ints; raise ValueError for anything but integers from 0 on."""
    def width(w: object) -> int:
        if isinstance(w, bool) or not isinstance(w, int) or w < 0:
            raise ValueError(f"widths of '{family}.{name}' are positive integers, got {w!r:.40}")
        return int(w)

    return tuple(width(w) for w in value) if isinstance(value, (list, tuple)) else width(value)

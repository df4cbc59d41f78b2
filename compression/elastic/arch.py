"""Architectures: what a generator, supernet slice or student looks like, as plain data."""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .registry import family_by_name

Widths = int | tuple[int, ...]
WIDEST, DEEPEST = 2 ** 16, 1000  # far above any network; they bound what a foreign file can ask for
LARGEST_FILE = 1_000_000  # bytes


class Arch:
    """The widths of every slot of one generator of a family; immutable, hashable and JSON-able.

    ``Arch("resnet", stem=(64, 128), trunk=256, inner=(256,) * 9, decoder=(128, 64))``. A field is one width or a
    sequence of widths (channels); the length of a sequence says the depth where the family allows several. Fields
    and lengths are checked against the family when the object is made.

    Raises:
        ValueError: unknown family, missing or unknown field, wrong length, or a width that is no positive integer.
    """

    __slots__ = ("family", "_fields", "_hash")

    def __init__(self, family: str, /, **fields: int | list[int] | tuple[int, ...]):
        spec = family_by_name(family)
        unknown, missing = set(fields) - set(spec.fields), set(spec.fields) - set(fields)
        if unknown or missing:
            raise ValueError(f"an architecture of family '{family}' has the fields {', '.join(spec.fields)}; "
                             f"missing: {sorted(missing) or 'none'}, unknown: {sorted(unknown) or 'none'}")
        frozen = {name: _frozen(family, name, fields[name]) for name in spec.fields}
        object.__setattr__(self, "family", family)
        object.__setattr__(self, "_fields", frozen)
        object.__setattr__(self, "_hash", hash((family, tuple(frozen.values()))))
        spec.check(self)

    def __getattr__(self, name: str) -> Widths:
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
        """Field name -> width or tuple of widths, in the family's order."""
        return dict(self._fields)

    @property
    def widths(self) -> tuple[int, ...]:
        """All widths in field order, flat."""
        return tuple(w for v in self._fields.values() for w in (v if isinstance(v, tuple) else (v,)))

    @property
    def skeleton(self) -> tuple:
        """What fixes the layers but not their widths: the length of every field and its skipped (0) positions."""
        return (self.family,) + tuple(tuple(w > 0 for w in v) if isinstance(v, tuple) else None
                                      for v in self._fields.values())

    def fits(self, full: Arch) -> bool:
        """Whether this is a slice of `full`: of its family, nowhere wider or deeper."""
        if self.family != full.family:
            return False
        for value, limit in zip(self._fields.values(), full._fields.values()):
            pairs = zip(value, limit) if isinstance(value, tuple) else ((value, limit),)
            if (isinstance(value, tuple) and len(value) > len(limit)) or any(w > most for w, most in pairs):
                return False
        return True

    def replace(self, **fields: int | tuple[int, ...]) -> Arch:
        """A copy with some fields changed."""
        return Arch(self.family, **{**self._fields, **fields})

    def with_widths(self, widths: tuple[int, ...]) -> Arch:
        """The same skeleton with other widths, given flat in field order."""
        flat, fields = iter(widths), {}
        for name, value in self._fields.items():
            fields[name] = tuple(next(flat) for _ in value) if isinstance(value, tuple) else next(flat)
        return Arch(self.family, **fields)

    def to_json(self) -> dict:
        """``{"family": ..., field: width or list of widths}``."""
        return {"family": self.family,
                **{k: list(v) if isinstance(v, tuple) else v for k, v in self._fields.items()}}

    @staticmethod
    def from_json(data: Mapping) -> Arch:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: if `data` is not the JSON form of an architecture, or a network far larger than any.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("family"), str) or not all(type(k) is str for k in data):
            raise ValueError(f"an architecture is a JSON object with a 'family' entry, got {str(data)[:80]}")
        for name, value in data.items():
            widths = value if isinstance(value, (list, tuple)) else (value,)
            if len(widths) > DEEPEST or any(isinstance(w, int) and w > WIDEST for w in widths):
                raise ValueError(f"'{name:.40}' of an architecture has at most {DEEPEST} widths of at most {WIDEST}, got more "
                                 "or larger ones")
        return Arch(data["family"], **{k: v for k, v in data.items() if k != "family"})

    @staticmethod
    def load(path: str | Path) -> Arch:
        """Read an architecture from a JSON file, either bare or under the key ``"arch"``.

        Raises:
            ValueError: if the file is missing, is no JSON or holds no valid architecture; the message names it.
        """
        try:
            data = _read_json(Path(path))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path}: cannot read an architecture ({error})") from None
        if isinstance(data, Mapping) and "arch" in data:
            data = data["arch"]
        try:
            return Arch.from_json(data)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _read_json(path: Path) -> object:
    """JSON as the standard has it: no repeated names, no NaN; a file that is larger than any architecture is not read."""
    def once(pairs: list[tuple[str, object]]) -> dict:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("an object has a name twice")
        return dict(pairs)

    def number(text: str) -> None:
        raise ValueError(f"{text} is no number of JSON")

    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, an architecture has at most {LARGEST_FILE:,}")
    return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=once, parse_constant=number)


def _frozen(family: str, name: str, value: object) -> Widths:
    def width(w: object) -> int:
        if isinstance(w, bool) or not isinstance(w, int) or w < 0:
            raise ValueError(f"widths of '{family}.{name}' are positive integers, got {w!r:.40}")
        return int(w)

    return tuple(width(w) for w in value) if isinstance(value, (list, tuple)) else width(value)

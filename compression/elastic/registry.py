"""The registry of generator families: name -> family."""
from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .families import Family


class Registry(Mapping[str, "Family"]):
    """All registered families, in the order of registration.

    The modules of ``compression/generators/`` register their families when they are imported. The first
    lookup imports them, so the registry is complete no matter what was imported before.
    """

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._discovered = False

    def add(self, family: Family) -> None:
        """Add a family under its name."""
        self._families[family.name] = family

    def _discover(self) -> dict[str, Family]:
        if not self._discovered:
            self._discovered = True  # before the import: the modules use the registry when they register
            try:
                importlib.import_module("..generators", __package__)
            except BaseException:
                self._discovered = False
                raise
        return self._families

    def __getitem__(self, name: str) -> Family:
        return self._discover()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._discover())

    def __len__(self) -> int:
        return len(self._discover())


FAMILIES = Registry()


def family_by_name(name: str) -> Family:
    """Look up a family.

    Raises:
        ValueError: unknown `name`; the message lists the known ones.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown family '{name}', known: {', '.join(FAMILIES)}; to add a family, put its "
                         "file into compression/generators/")
    return FAMILIES[name]

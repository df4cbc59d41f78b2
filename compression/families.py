"""The family table: one entry for each generator definition. A new family is registered, nothing is edited."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .arch import Arch
    from .generators.base import ElasticGenerator


@dataclass(frozen=True)
class Field:
    """One field of an :class:`Arch` and its search space.

    `choices` gives for each position the widths at full width `reference` (channels), ascending. A field is a single
    width if `single`; otherwise its length may lie between `min_length` and the full architecture's. A field with
    `tied` is no choice of its own: its widths are computed from the others. `skippable` positions may also be 0.
    """

    choices: Callable[[int], tuple[int, ...]] | None = None  # position -> widths at reference width
    min_length: int | None = None  # None: the length never changes
    single: bool = False
    skippable: tuple[int, ...] = ()
    tied: Callable[[Mapping], tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Family:
    """Everything the rest of the library needs to know about a family.

    `full` maps each ``--netG`` name to the full architecture for a given ``ngf``; `generator` is the one class that is
    original, supernet and student; `check` raises ValueError for an impossible Arch; `norm` and `input_nc` are those
    of the published tables; `reference_ngf` is the ``ngf`` for which `Field.choices` are written.
    """

    name: str
    fields: Mapping[str, Field]
    generator: type[ElasticGenerator]
    full: Mapping[str, Callable[[int], Arch]]
    check: Callable[[Arch], None]
    norm: str
    input_nc: int = 3
    reference_ngf: int = 64
    size: tuple[int, int] = field(default=(256, 256))


FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Add a family to the table; its ``--netG`` names become known everywhere.

    Raises:
        ValueError: if the family or one of its ``--netG`` names is already taken.
    """
    taken = [name for name in family.full if name in generator_names()]
    if family.name in FAMILIES or taken:
        raise ValueError(f"family '{family.name}' or its --netG names {taken} are registered already")
    FAMILIES[family.name] = family
    return family


def family_named(name: str) -> Family:
    """The family called `name`; ValueError listing the known ones otherwise."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family '{name}', known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def generator_names() -> tuple[str, ...]:
    """All values ``--netG`` accepts."""
    return tuple(netG for family in FAMILIES.values() for netG in family.full)


def family_of(netG: str) -> Family:
    """The family that has the generator `netG`; ValueError listing the known names otherwise."""
    for family in FAMILIES.values():
        if netG in family.full:
            return family
    raise ValueError(f"unknown generator --netG {netG}, known: {', '.join(generator_names())}")


def full_arch(netG: str, ngf: int) -> Arch:
    """The full-size architecture of ``--netG`` at ``--ngf``."""
    if ngf < 1:
        raise ValueError(f"--ngf must be at least 1, got {ngf}")
    return family_of(netG).full[netG](ngf)


def build_generator(netG: str, input_nc: int = 3, output_nc: int = 3, ngf: int = 64, norm: str = "instance",
                    dropout: bool = False) -> ElasticGenerator:
    """The full-size generator ``--netG`` with upstream's state-dict keys, freshly initialised by PyTorch's defaults.

    Raises:
        ValueError: unknown `netG` or `norm`, or a channel count below 1.
    """
    family = family_of(netG)
    return family.generator(full_arch(netG, ngf), input_nc=input_nc, output_nc=output_nc, norm=norm, dropout=dropout)

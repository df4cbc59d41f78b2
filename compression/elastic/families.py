"""The family table: one entry for each generator definition. A new family is registered, nothing is edited."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from .arch import Arch
from .generator import ElasticGenerator
from .registry import FAMILIES


@dataclass(frozen=True)
class Field:
    """One field of an :class:`Arch` and its search space.

    `choices` gives for each position the widths at full width `reference` (channels), ascending. A field is a single
    width if `single`; otherwise its length may lie between `min_length` and the full architecture's. A field with
    `tied` is no choice of its own: its widths are computed from the others. `skippable` positions may also be 0. The
    lists scale with ``ngf`` unless `scaled` is false.
    """

    choices: Callable[[int], tuple[int, ...]] | None = None  # position -> widths at reference width
    min_length: int | None = None  # None: the length never changes
    single: bool = False
    skippable: tuple[int, ...] = ()
    tied: Callable[[Mapping], tuple[int, ...]] | None = None
    scaled: bool = True


@dataclass(frozen=True)
class Family:
    """Everything the rest of the library needs to know about a family.

    Attributes:
        fields: the fields of its architectures and their search space.
        generator: the one class that is original, supernet and student.
        full: ``--netG`` name -> function of ``ngf`` and `flags` that gives the full architecture.
        check: raises ValueError for an impossible architecture.
        norm, input_nc, size: those of the published tables; size is (height, width).
        reference_ngf: the ``ngf`` for which `Field.choices` are written.
        ngf: full architecture -> its ``ngf``.
        flags: further flags of upstream that shape the generator, with upstream's defaults.
        flags_of: full architecture -> those of `flags` that it shows.
        aliases: upstream's own names of ``--netG`` -> ours.
        semantic: whether the input is a map of class ids, one-hot encoded, instead of an image.
        netD: the original's discriminator.
        two_time_scales: whether generator and discriminator learn at half and twice the rate (TTUR, NeurIPS 2017).
        objective: what the original is trained by, an Objective of :mod:`compression.originals.objectives`.
        defaults: the original's training settings where they differ from Pix2Pix's, by flag.
    """

    name: str
    fields: Mapping[str, Field]
    generator: type[ElasticGenerator]
    full: Mapping[str, Callable[..., Arch]]
    check: Callable[[Arch], None]
    norm: str
    objective: type[nn.Module]
    input_nc: int = 3
    size: tuple[int, int] = (256, 256)
    reference_ngf: int = 64
    ngf: Callable[[Arch], int] = lambda arch: arch.widths[0]
    flags: Mapping[str, object] = field(default_factory=dict)
    flags_of: Callable[[Arch], dict] = lambda arch: {}
    aliases: Mapping[str, str] = field(default_factory=dict)
    semantic: bool = False
    netD: str = "basic"
    two_time_scales: bool = False
    defaults: Mapping[str, object] = field(default_factory=dict)


def register(family: Family) -> Family:
    """Add a family to the table; its ``--netG`` names become known everywhere.

    Raises:
        ValueError: if the family or one of its ``--netG`` names is already taken.
    """
    taken = [name for name in family.full if name in generator_names()]
    if family.name in FAMILIES or taken:
        raise ValueError(f"family '{family.name}' or its --netG names {taken} are registered already")
    FAMILIES.add(family)
    return family


def generator_names() -> tuple[str, ...]:
    """All values ``--netG`` accepts, but for aliases."""
    return tuple(netG for family in FAMILIES.values() for netG in family.full)


def canonical_netG(netG: str) -> str:
    """The name of ``--netG``, given it or upstream's own (``global`` is ``pix2pixhd``)."""
    return next((family.aliases[netG] for family in FAMILIES.values() if netG in family.aliases), netG)


def family_of(netG: str) -> Family:
    """The family that has the generator `netG`; ValueError listing the known names otherwise."""
    for family in FAMILIES.values():
        if canonical_netG(netG) in family.full:
            return family
    raise ValueError(f"unknown generator --netG {netG}, known: {', '.join(generator_names())}")


def family_flags(family: Family, flags: Mapping) -> dict:
    """Those of `flags` that shape the family's generator and are not None."""
    return {name: flags[name] for name in family.flags if flags.get(name) is not None}


def full_arch(netG: str, ngf: int, **flags) -> Arch:
    """The full-size architecture of ``--netG`` at ``--ngf``; `flags` of other families are ignored."""
    if ngf < 1:
        raise ValueError(f"--ngf must be at least 1, got {ngf}")
    family = family_of(netG)
    chosen = {**family.flags, **family_flags(family, flags)}
    for name, value in chosen.items():
        if isinstance(value, int) and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    return family.full[canonical_netG(netG)](ngf, **chosen)


def build_generator(netG: str, input_nc: int = 3, output_nc: int = 3, ngf: int = 64, norm: str = "instance",
                    dropout: bool = False, **flags) -> ElasticGenerator:
    """The full-size generator ``--netG`` with upstream's state-dict keys, freshly initialized by PyTorch's defaults.

    `flags` are further flags of upstream, by name; those that do not concern the family are ignored.

    Raises:
        ValueError: unknown `netG` or `norm`, or a value out of range.
    """
    family = family_of(netG)
    arch = full_arch(netG, ngf, **flags)
    settings = family.generator.settings_from_flags({**flags, "dropout": dropout})
    return family.generator(arch, input_nc=input_nc, output_nc=output_nc, norm=norm, **settings)

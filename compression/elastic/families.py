"""Generator families: the description of a family, its registration, and full-size generators by
``--netG``."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..runtime.text import unknown
from .arch import Arch
from .generator import ElasticGenerator
from .registry import FAMILIES


@dataclass(frozen=True)
class Field:
    """One field of an :class:`Arch` and its part of the search space.

    Attributes:
        choices: position -> the candidate widths (channels) at the family's ``reference_ngf``, ascending.
        min_length: smallest number of widths; None if the number is fixed to that of the full architecture.
        single: whether the field is a single width instead of a sequence.
        skippable: positions whose width may also be 0, which skips the layer.
        tied: other fields -> the widths of this one; the field is then not searched.
        scaled: whether the candidate widths scale with ``--ngf``.
    """

    choices: Callable[[int], tuple[int, ...]] | None = None
    min_length: int | None = None
    single: bool = False
    skippable: tuple[int, ...] = ()
    tied: Callable[[Mapping], tuple[int, ...]] | None = None
    scaled: bool = True


@dataclass(frozen=True)
class Family:
    """Everything the rest of the library needs to know about a generator family.

    Attributes:
        name: the family's name in architectures and files.
        fields: the fields of its architectures and their search space.
        generator: the one class of original, supernet and student.
        full: ``--netG`` name -> function of ``ngf`` and `flags` that returns the full architecture.
        check: function that raises ValueError for an impossible architecture.
        norm, input_nc, size: those of the published tables; `size` is (height, width) in pixels.
        objective: the original's training objective, a subclass of
            :class:`compression.originals.objectives.Objective`.
        reference_ngf: the ``ngf`` for which `Field.choices` are written.
        ngf: full architecture -> its ``ngf``.
        flags: further upstream flags that determine the generator, with upstream's defaults.
        flags_of: full architecture -> the values of those `flags` that it determines.
        aliases: upstream's own ``--netG`` names -> the names in `full`.
        semantic: whether the input is a one-hot encoded map of class ids instead of an image.
        netD: ``--netD`` of the original's discriminator.
        two_time_scales: whether generator and discriminator use half and twice the learning rate (TTUR,
            NeurIPS 2017).
        defaults: flag -> the original's training default, where it differs from Pix2Pix's.
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
    flags: Mapping[str, Any] = field(default_factory=dict)
    flags_of: Callable[[Arch], dict] = lambda arch: {}
    aliases: Mapping[str, str] = field(default_factory=dict)
    semantic: bool = False
    netD: str = "basic"
    two_time_scales: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


def register(family: Family) -> Family:
    """Register a family and its ``--netG`` names.

    Raises:
        ValueError: the family or one of its ``--netG`` names is already registered.
    """
    taken = [name for name in family.full if name in generator_names()]
    if family.name in FAMILIES or taken:
        raise ValueError(f"family '{family.name}' or its --netG names {taken} are already registered")
    FAMILIES.add(family)
    return family


def generator_names() -> tuple[str, ...]:
    """Return all values of ``--netG`` except aliases."""
    return tuple(netG for family in FAMILIES.values() for netG in family.full)


def canonical_netG(netG: str) -> str:
    """Resolve upstream's alias of a ``--netG`` name (``global`` is ``pix2pixhd``); return other names as
    is."""
    for family in FAMILIES.values():
        if netG in family.aliases:
            return family.aliases[netG]
    return netG


def family_of(netG: str) -> Family:
    """Return the family of the generator `netG`.

    Raises:
        ValueError: unknown `netG`; the message lists the known names.
    """
    for family in FAMILIES.values():
        if canonical_netG(netG) in family.full:
            return family
    raise ValueError(unknown(f"--netG {netG}", netG, generator_names()))


def family_flags(family: Family, flags: Mapping) -> dict:
    """Select those `flags` that determine the family's generator and are not None."""
    return {name: flags[name] for name in family.flags if flags.get(name) is not None}


def full_arch(netG: str, ngf: int, **flags) -> Arch:
    """Compute the full-size architecture of ``--netG`` at ``--ngf``; `flags` of other families are
    ignored."""
    if ngf < 1:
        raise ValueError(f"--ngf must be at least 1, got {ngf}")
    family = family_of(netG)
    values = {**family.flags, **family_flags(family, flags)}
    for name, value in values.items():
        if isinstance(value, int) and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    return family.full[canonical_netG(netG)](ngf, **values)


def build_generator(netG: str, input_nc: int = 3, output_nc: int = 3, ngf: int = 64, norm: str = "instance",
                    dropout: bool = False, **flags) -> ElasticGenerator:
    """Build the full-size generator ``--netG`` with upstream's state-dict keys and PyTorch's initialization.

    Args:
        netG: name of the generator.
        input_nc, output_nc: numbers of input and output channels.
        ngf: base width.
        norm: instance, batch, syncbatch or none.
        dropout: whether the generator has dropout layers, in the families that support them.
        flags: further upstream flags by name; those of other families are ignored.

    Raises:
        ValueError: unknown `netG` or `norm`, or a value out of range.
    """
    family = family_of(netG)
    arch = full_arch(netG, ngf, **flags)
    settings = family.generator.settings_from_flags({**flags, "dropout": dropout})
    return family.generator(arch, input_nc=input_nc, output_nc=output_nc, norm=norm, **settings)

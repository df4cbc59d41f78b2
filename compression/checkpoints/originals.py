"""Loading of upstream's generators and discriminators, whose architecture follows from keys and shapes."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..elastic.arch import Arch
from ..elastic.families import canonical_netG, family_flags, family_of, full_arch
from ..elastic.generator import ElasticGenerator
from ..elastic.registry import FAMILIES, family_by_name
from ..originals.discriminators import KINDS as DISCRIMINATOR_KINDS
from ..originals.discriminators import Discriminator, build_discriminator
from ..originals.spectral_norm import fold_spectral_norm
from ..runtime.encoding import LabelEncoding
from ..runtime.text import name_some
from .weights import build_and_load, load_state_dict_file

# Upstream's flags that are accepted and ignored where a network does not have them, so that all flags of an
# upstream run can be passed.
_UPSTREAM_FLAGS = frozenset({
    "netG", "ngf", "input_nc", "output_nc", "norm", "norm_G", "no_dropout", "n_downsample_global",
    "n_blocks_global", "n_local_enhancers", "n_blocks_local", "num_upsampling_layers", "use_vae", "z_dim",
    "netD", "ndf", "n_layers_D", "num_D", "norm_D", "netD_subarch", "getIntermFeat", "no_ganFeat_loss",
    "use_sigmoid", "label_nc", "contain_dontcare_label", "no_instance", "semantic_nc", "crop_size",
    "aspect_ratio", "init_type", "init_variance", "init_gain", "gpu_ids"})


def read_architecture(state: Mapping[str, Tensor], netG: str | None = None) -> tuple[Arch, dict] | None:
    """Infer the architecture of a generator from the keys and shapes of its state dict.

    Args:
        state: the state dict.
        netG: decides where two families have equal keys: a Pix2PixHD generator with two strided convolutions
            is also a ResNet.

    Returns:
        The architecture and the other constructor arguments; None if no family has such keys and shapes.
    """
    families = list(FAMILIES.values())
    if netG:
        families.sort(key=lambda family: family is not family_of(netG))
    for family in families:
        architecture = _read(family.generator, state)
        if architecture:
            return architecture
    return None


def _read(network_class: Any, state: Mapping[str, Tensor]) -> Any:
    """Call ``network_class.read_architecture``; return None also for impossible numbers in keys or shapes."""
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    try:
        return network_class.read_architecture(shapes)
    except (LookupError, ValueError):
        return None


def load_original(path: str | Path, netG: str | None = None, *, input_nc: int | None = None,
                  output_nc: int | None = None, ngf: int | None = None, norm: str | None = None,
                  no_dropout: bool | None = None, **flags) -> ElasticGenerator:
    """Load an upstream generator checkpoint strictly.

    Keys and shapes determine the architecture. The arguments are upstream's flags: they are compared with the
    file, and needed only for what the file does not contain (dropout of a U-Net, `num_upsampling_layers` of
    SPADE). Further upstream flags are accepted and ignored. Spectral norm is folded into the weights.

    Args:
        path: the checkpoint.
        netG, input_nc, output_nc, ngf, norm, no_dropout, flags: upstream's flags, by name.

    Returns:
        The network in eval mode on the CPU.

    Raises:
        ValueError: if the file is unreadable, not a generator of a known family, or contradicts the flags.
    """
    _reject_unknown_flags(flags)
    state, arch, config = _load_generator_file(path, netG)
    family = family_by_name(arch.family)
    requested = {
        "netG": netG and canonical_netG(netG), "ngf": ngf, "output_nc": output_nc,
        "norm": _norm_of_spade_flag(flags.get("norm_G")) or norm,
        "input_nc": _semantic_nc(flags) if flags.get("label_nc") else input_nc,
        **family_flags(family, flags)}
    if "dropout" in config:
        requested["no_dropout"] = no_dropout
    _compare_settings(path, _generator_settings(arch, config), requested)
    for name, choices in family.generator.ambiguous_settings(config).items():
        if name == "dropout":
            config[name] = not no_dropout
        elif name not in config:
            config[name] = _ambiguous_setting(path, name, choices, flags.get(name))
    return build_and_load(lambda: family.generator(arch, **config), state, path).eval()


def original_flags(path: str | Path, netG: str | None = None) -> dict:
    """Infer upstream's flags from a generator checkpoint.

    Returns:
        ``netG``, ``ngf``, ``norm``, ``input_nc``, ``output_nc``, the flags of the family, and ``no_dropout``
        if the file determines it.

    Raises:
        ValueError: if the file is unreadable or not a generator of a known family.
    """
    _, arch, config = _load_generator_file(path, netG)
    return _generator_settings(arch, config)


def load_original_discriminator(path: str | Path, netD: str | None = None, *, input_nc: int | None = None,
                                ndf: int | None = None, n_layers_D: int | None = None,
                                norm: str | None = None, **flags) -> Discriminator:
    """Load an upstream discriminator checkpoint strictly.

    A multi-scale discriminator returns lists: scales, full resolution first, of layers, the prediction last.
    Without `getIntermFeat` (Pix2PixHD; determined by the keys) or with `no_ganFeat_loss` (SPADE), each scale
    has only the prediction.

    Args:
        path: the checkpoint.
        netD, input_nc, ndf, n_layers_D, norm, flags: upstream's flags, by name; see :func:`load_original`.

    Returns:
        The network in eval mode on the CPU.

    Raises:
        ValueError: if the file is unreadable, not a known discriminator, or contradicts the flags.
    """
    _reject_unknown_flags(flags)
    state, config = _load_discriminator_file(path)
    if flags.get("label_nc"):  # the discriminator sees the label map and the image
        input_nc = _semantic_nc(flags) + flags.get("output_nc", 3)
    requested = {"netD": netD, "ndf": ndf, "norm": _norm_of_spade_flag(flags.get("norm_D")) or norm,
                 "num_D": flags.get("num_D"), "n_layers_D": n_layers_D, "input_nc": input_nc}
    if config["netD"] in ("basic", "n_layers", "pixel"):
        requested["num_D"] = None
        if netD == "n_layers" and n_layers_D == 3 and config["netD"] == "basic":
            requested["netD"] = None  # the same network
        if config["netD"] != "n_layers":
            requested["n_layers_D"] = None  # basic always has three layers
    if "features" in config and flags.get("getIntermFeat") is not None:
        requested["features"] = bool(flags["getIntermFeat"])
    _compare_settings(path, config, requested)
    if config["netD"] == "spade":
        config["features"] = not flags.get("no_ganFeat_loss", False)
    return build_and_load(lambda: build_discriminator(**config), state, path).eval()


def discriminator_flags(path: str | Path) -> dict:
    """Infer upstream's flags from a discriminator checkpoint.

    Raises:
        ValueError: if the file is unreadable or not a known discriminator.
    """
    _, config = _load_discriminator_file(path)
    return config


def _load_generator_file(path: str | Path, netG: str | None) -> tuple[dict[str, Tensor], Arch, dict]:
    """Load the weights, architecture, and constructor arguments of a generator; fold spectral norm."""
    state = load_state_dict_file(path)
    try:
        state = fold_spectral_norm(state)
    except RuntimeError:
        raise ValueError(f"{path}: the shapes of its spectral norm entries (weight_orig, weight_u, weight_v) "
                         "do not match") from None
    architecture = read_architecture(state, netG)
    if architecture is None:
        requested = f"; asked: --netG {netG}" if netG else ""
        raise ValueError(f"{path}: holds no generator of a known family ({', '.join(FAMILIES)}); its entries "
                         f"begin with {name_some(state)}{requested}")
    arch, config = architecture
    return state, arch, config


def _load_discriminator_file(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Load the weights and constructor arguments of a discriminator."""
    state = load_state_dict_file(path)
    for kind in DISCRIMINATOR_KINDS:
        config = _read(kind, state)
        if config:
            return state, config
    raise ValueError(f"{path}: holds no known discriminator; its entries begin with {name_some(state)}")


def _generator_settings(arch: Arch, config: Mapping) -> dict:
    """Convert an architecture and constructor arguments to upstream's flags.

    ``netG`` describes the architecture if no ``--netG`` has it.
    """
    family = FAMILIES[arch.family]
    ngf = family.ngf(arch)
    flags = family.flags_of(arch)
    names = [name for name in family.full if full_arch(name, ngf, **flags) == arch]
    netG = names[0] if names else f"a {arch.family} of other widths, such as a student"
    settings = {"netG": netG, "ngf": ngf, **flags,
                "norm": config["norm"], "input_nc": config["input_nc"], "output_nc": config["output_nc"]}
    if "dropout" in config:
        settings["no_dropout"] = not config["dropout"]
    return settings


def _ambiguous_setting(path: str | Path, name: str, choices: tuple, requested: object) -> object:
    """Return the requested value of a setting that the file leaves open, if it is among `choices`."""
    if requested is not None and (not choices or requested in choices):
        return requested
    accepted = f" ({' or '.join(map(str, choices))})" if choices else ""
    hint = f"asked: --{name} {requested}" if requested is not None else "set it to the value of its training"
    raise ValueError(f"{path}: its entries do not determine --{name}{accepted}; {hint}")


def _semantic_nc(flags: Mapping) -> int:
    """Compute the number of input channels of a generator that reads label maps."""
    encoding = LabelEncoding(flags["label_nc"], bool(flags.get("contain_dontcare_label")),
                             not flags.get("no_instance"))
    return encoding.channels


def _norm_of_spade_flag(text: str | None) -> str | None:
    """Extract the norm from SPADE's ``--norm_G``: syncbatch from spectralspadesyncbatch3x3."""
    for norm in ("instance", "syncbatch", "sync_batch", "batch", "none"):
        if text and norm in text:
            return norm
    return None


def _compare_settings(path: str | Path, settings: Mapping, requested: Mapping) -> None:
    """Compare the settings of a file with the requested flags; None requests nothing.

    Raises:
        ValueError: if they differ; shows both.
    """
    aliases = {"syncbatch": "batch", "sync_batch": "batch"}
    contradictions = {}
    for name, value in requested.items():
        if value is not None and name in settings and aliases.get(value, value) != settings[name]:
            contradictions[name] = value
    if not contradictions:
        return
    note = ""
    if "input_nc" in contradictions and settings["input_nc"] > 3:
        note = ("; --input_nc is --label_nc, plus 1 with --contain_dontcare_label, plus 1 without "
                "--no_instance (and plus --output_nc for a discriminator)")
    raise ValueError(f"{path}: holds {_as_flags(settings)}; asked: {_as_flags(contradictions)}{note}")


def _as_flags(settings: Mapping) -> str:
    return ", ".join(f"--{name} {value}" for name, value in settings.items())


def _reject_unknown_flags(flags: Mapping) -> None:
    known = set(_UPSTREAM_FLAGS)
    for family in FAMILIES.values():
        known.update(family.flags, family.generator.extra_settings)
    unknown = sorted(set(flags) - known)
    if unknown:
        raise TypeError(f"unknown arguments: {', '.join(unknown)}")

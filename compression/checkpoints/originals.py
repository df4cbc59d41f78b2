"""Loading upstream's generator and discriminator checkpoints: what a file holds is read off its keys and shapes."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..elastic.arch import Arch
from ..elastic.families import canonical_netG, family_flags, family_of, full_arch
from ..elastic.registry import FAMILIES, family_by_name
from ..elastic.generator import ElasticGenerator
from ..originals.discriminators import KINDS as DISCRIMINATOR_KINDS
from ..originals.discriminators import Discriminator, build_discriminator
from ..originals.spectral_norm import fold_spectral_norm
from ..runtime.encoding import LabelEncoding
from ..runtime.text import name_some
from .weights import build_and_load, load_state_dict_file

# upstream's flags that say nothing about the networks known here, accepted so that a whole command line can be passed
_OTHER_FLAGS = frozenset("""netD ndf n_layers_D num_D n_downsample_global n_blocks_global n_local_enhancers
    n_blocks_local label_nc contain_dontcare_label no_instance num_upsampling_layers crop_size aspect_ratio norm_G norm_D
    init_type init_variance init_gain use_vae z_dim semantic_nc netD_subarch use_sigmoid gpu_ids
    netG ngf output_nc no_dropout getIntermFeat no_ganFeat_loss norm input_nc""".split())


def read_architecture(state: Mapping[str, Tensor], netG: str | None = None) -> tuple[Arch, dict] | None:
    """Architecture and constructor arguments of the generator whose state dict this is, read off keys and shapes.

    Some state dicts fit two families (a Pix2PixHD generator of two strided convolutions is a ResNet): `netG` decides.
    """
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    families = list(FAMILIES.values())
    if netG:
        families.sort(key=lambda family: family is not family_of(netG))
    return next(filter(None, (_read(family.generator, shapes) for family in families)), None)


def _read(kind: type, shapes: Mapping[str, tuple[int, ...]]) -> tuple | dict | None:
    """``kind.read_architecture(shapes)``; None also where entries have its names, but shapes or numbers that it never has."""
    try:
        return kind.read_architecture(shapes)
    except (LookupError, ValueError):
        return None


def load_original(path: str | Path, netG: str | None = None, *, input_nc: int | None = None,
                  output_nc: int | None = None, ngf: int | None = None, norm: str | None = None,
                  no_dropout: bool | None = None, **flags) -> ElasticGenerator:
    """Load an upstream generator checkpoint strictly.

    The arguments are upstream's flags; each is needed only where keys and shapes do not tell (a U-Net's dropout,
    SPADE's `num_upsampling_layers`), and is checked against the file where they do. Files with the ``module.`` prefix
    and with instance-norm statistics of old torch versions are taken; spectral norm is folded into the weights. Other
    flags of upstream are accepted and not needed.

    Returns:
        The network in eval mode on the CPU.

    Raises:
        ValueError: if the file is unreadable, no known generator, or not what the flags say: what it holds, what was
            asked.
    """
    _check_flags(flags)
    state, arch, config = _read_original(path, netG)
    family = family_by_name(arch.family)
    holds = _facts(arch, config)
    asked = {"netG": netG and canonical_netG(netG), "ngf": ngf, "output_nc": output_nc,
             "norm": _norm_in(flags.get("norm_G")) or norm,
             "input_nc": _semantic_nc(flags) if flags.get("label_nc") else input_nc, **family_flags(family, flags)}
    if "dropout" in config:
        asked["no_dropout"] = no_dropout
    _compare(path, holds, asked)
    for name, choices in family.generator.ambiguous_settings(config).items():
        if name == "dropout":
            config[name] = not no_dropout
        elif name not in config:
            if flags.get(name) is None or (choices and flags[name] not in choices):
                raise ValueError(f"{path}: is of --{name} {' or '.join(choices) or 'unknown'}, its entries do not tell "
                                 "which; " + (f"asked: --{name} {flags[name]}" if flags.get(name) else f"give --{name}"))
            config[name] = flags[name]
    return build_and_load(lambda: family.generator(arch, **config), state, path).eval()


def _read_original(path: str | Path, netG: str | None) -> tuple[dict[str, Tensor], Arch, dict]:
    """(weights, architecture, constructor arguments) of a generator's file; ValueError if it is none."""
    state = load_state_dict_file(path)
    try:
        state = fold_spectral_norm(state)
    except RuntimeError:
        raise ValueError(f"{path}: its entries of spectral norm (weight_orig, weight_u, weight_v) do not fit each other") \
            from None
    found = read_architecture(state, netG)
    if found is None:
        raise ValueError(f"{path}: holds no generator of a known family ({', '.join(FAMILIES)}); its entries begin "
                         f"with {name_some(state)}" + (f"; asked: --netG {netG}" if netG else ""))
    return state, *found


def original_flags(path: str | Path, netG: str | None = None) -> dict:
    """What a generator's file tells of upstream's flags: ``netG``, ``ngf``, ``norm``, ``input_nc``, ``output_nc`` and, where
    they show, ``no_dropout`` and those of its family. Errors as in :func:`load_original`."""
    _, arch, config = _read_original(path, netG)
    return _facts(arch, config)


def _read_discriminator(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """(weights, what they tell of upstream's flags) of a discriminator's file; ValueError if it is none."""
    state = load_state_dict_file(path)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    found = next(filter(None, (_read(kind, shapes) for kind in DISCRIMINATOR_KINDS)), None)
    if found is None:
        raise ValueError(f"{path}: holds no known discriminator; its entries begin with {name_some(state)}")
    return state, found


def discriminator_flags(path: str | Path) -> dict:
    """What a discriminator's file tells of upstream's flags. Errors as in :func:`load_original_discriminator`."""
    return _read_discriminator(path)[1]


def load_original_discriminator(path: str | Path, netD: str | None = None, *, input_nc: int | None = None,
                                ndf: int | None = None, n_layers_D: int | None = None, norm: str | None = None,
                                **flags) -> Discriminator:
    """Load an upstream discriminator checkpoint strictly; arguments and errors as in :func:`load_original`.

    A multi-scale discriminator returns a list over scales, full resolution first, of lists over layers, the prediction
    last; without `getIntermFeat` (Pix2PixHD; its keys tell) or with `no_ganFeat_loss` (SPADE) the prediction alone.
    """
    _check_flags(flags)
    state, found = _read_discriminator(path)
    asked = {"netD": netD, "ndf": ndf, "norm": _norm_in(flags.get("norm_D")) or norm, "num_D": flags.get("num_D"),
             "n_layers_D": n_layers_D,
             "input_nc": _semantic_nc(flags) + flags.get("output_nc", 3) if flags.get("label_nc") else input_nc}
    if found["netD"] in ("basic", "n_layers", "pixel"):
        asked["num_D"] = None
        if netD == "n_layers" and n_layers_D == 3 and found["netD"] == "basic":
            asked["netD"] = None  # the same network
        if found["netD"] != "n_layers":
            asked["n_layers_D"] = None  # basic has three, whatever --n_layers_D says
    if "features" in found and flags.get("getIntermFeat") is not None:
        asked["features"] = bool(flags["getIntermFeat"])
    _compare(path, found, asked)
    if found["netD"] == "spade":
        found["features"] = not flags.get("no_ganFeat_loss", False)
    return build_and_load(lambda: build_discriminator(**found), state, path).eval()


def _facts(arch: Arch, config: Mapping) -> dict:
    """What a file holds, in upstream's flags; netG is the name of the architecture, if it has one."""
    family = FAMILIES[arch.family]
    ngf, flags = family.ngf(arch), family.flags_of(arch)
    names = [name for name in family.full if full_arch(name, ngf, **flags) == arch]
    facts = {"netG": names[0] if names else f"a {arch.family} of widths {arch.fields}", "ngf": ngf, **flags,
             "norm": config["norm"], "input_nc": config["input_nc"], "output_nc": config["output_nc"]}
    if "dropout" in config:
        facts["no_dropout"] = not config["dropout"]
    return facts


def _semantic_nc(flags: Mapping) -> int:
    """Input channels of a network that takes label maps."""
    return LabelEncoding(flags["label_nc"], bool(flags.get("contain_dontcare_label")),
                         not flags.get("no_instance")).channels


def _norm_in(text: str | None) -> str | None:
    """The norm in SPADE's ``--norm_G`` or ``--norm_D`` (spectralspadesyncbatch3x3 has syncbatch); None without one."""
    known = ("instance", "syncbatch", "sync_batch", "batch", "none")
    return text and next((norm for norm in known if norm in text), None)


def _compare(path: str | Path, holds: Mapping, asked: Mapping) -> None:
    same = {"syncbatch": "batch", "sync_batch": "batch"}
    wrong = {k: v for k, v in asked.items() if v is not None and k in holds and same.get(v, v) != holds[k]}
    if wrong:
        def words(values: Mapping) -> str:
            return ", ".join(f"--{k} {v}" for k, v in values.items())
        note = ("; --input_nc is --label_nc, plus 1 with --contain_dontcare_label, plus 1 without --no_instance (and plus "
                "--output_nc for a discriminator)") if "input_nc" in wrong and holds["input_nc"] > 3 else ""
        raise ValueError(f"{path}: holds {words(holds)}; asked: {words(wrong)}{note}")


def _check_flags(flags: Mapping) -> None:
    of_families = {name for family in FAMILIES.values() for name in (*family.flags, *family.generator.extra_settings)}
    unknown = sorted(set(flags) - _OTHER_FLAGS - of_families)
    if unknown:
        raise TypeError(f"unknown arguments: {', '.join(unknown)}")

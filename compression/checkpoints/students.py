"""Students: networks in files that describe themselves."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..elastic.arch import Arch
from ..elastic.registry import family_by_name
from ..elastic.generator import ElasticGenerator
from .weights import STUDENT_FORMAT, build_and_load, load_file, save_atomic


def save_student(path: str | Path, net: ElasticGenerator, **meta) -> None:
    """Write a network that describes itself: architecture, constructor arguments, weights, and plain `meta` data."""
    state = {key: value.detach().cpu() for key, value in net.state_dict().items()}
    save_atomic({"format": STUDENT_FORMAT, "arch": net.full.to_json(), "config": dict(net.config),
                 "state_dict": state, "meta": meta}, path)


def load_student(path: str | Path) -> ElasticGenerator:
    """Load a network written by :func:`save_student`: it carries its architecture.

    Returns:
        The network in eval mode on the CPU; the stored meta data is its attribute `meta`.

    Raises:
        ValueError: if the file is unreadable or no student of this project.
    """
    data = load_file(path)
    if not isinstance(data, Mapping) or data.get("format") != STUDENT_FORMAT:
        raise ValueError(f"{path}: is no student file of this project (format {STUDENT_FORMAT}); an upstream generator "
                         "is loaded by load_original")
    try:
        arch, config, state, meta = (Arch.from_json(data["arch"]), dict(data["config"]), data["state_dict"],
                                     dict(data.get("meta", {})))
        if not isinstance(meta.get("original"), (str, type(None))):
            raise TypeError("its 'original' is no path")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the student file is damaged ({error})") from None
    net = build_and_load(lambda: family_by_name(arch.family).generator(arch, **config), state, path)
    net.meta = meta
    return net.eval()

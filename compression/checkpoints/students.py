"""Student files: networks stored with their architecture."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..elastic.arch import Arch
from ..elastic.generator import ElasticGenerator
from ..elastic.registry import family_by_name
from .weights import STUDENT_FORMAT, build_and_load, load_file, save_atomic


def save_student(path: str | Path, net: ElasticGenerator, **meta) -> None:
    """Save a network with its architecture, constructor arguments, weights, and plain `meta` data."""
    state = {key: value.detach().cpu() for key, value in net.state_dict().items()}
    save_atomic({"format": STUDENT_FORMAT, "arch": net.full.to_json(), "config": dict(net.config),
                 "state_dict": state, "meta": meta}, path)


def load_student(path: str | Path) -> ElasticGenerator:
    """Load a network that :func:`save_student` saved.

    Returns:
        The network in eval mode on the CPU. Its attribute `meta` contains the stored meta data.

    Raises:
        ValueError: if the file is unreadable or not a student of this project.
    """
    data = load_file(path)
    if not isinstance(data, Mapping) or data.get("format") != STUDENT_FORMAT:
        raise ValueError(f"{path}: is not a student file of this project (format {STUDENT_FORMAT}); load an "
                         "upstream generator with load_original")
    try:
        arch = Arch.from_json(data["arch"])
        config = dict(data["config"])
        state = data["state_dict"]
        meta = dict(data.get("meta", {}))
        if not isinstance(meta.get("original"), (str, type(None))):
            raise TypeError("its 'original' is not a path")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the student file is damaged ({error})") from None
    net = build_and_load(lambda: family_by_name(arch.family).generator(arch, **config), state, path)
    net.meta = meta
    return net.eval()

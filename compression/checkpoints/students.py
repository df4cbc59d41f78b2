"""Student files: networks stored with their architecture."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..elastic.arch import Arch
from ..elastic.generator import ElasticGenerator
from ..elastic.registry import family_by_name
from .weights import STUDENT_FORMAT, build_and_load, is_student_content, load_file, save_atomic

# what a file says about the inputs of its student: name of upstream's flag -> its types
INPUT_SETTINGS: dict[str, tuple[type, ...]] = {
    "netG": (str,), "direction": (str,), "input_nc": (int,), "output_nc": (int,), "label_nc": (int,),
    "contain_dontcare_label": (bool,), "no_instance": (bool,), "aspect_ratio": (int, float),
    "preprocess": (str,), "load_size": (int,), "crop_size": (int,)}


class StudentFile(NamedTuple):
    """The content of a student file: architecture, constructor arguments, weights, and meta data."""

    arch: Arch
    config: dict[str, Any]
    state: Mapping[str, Tensor]
    meta: dict[str, Any]


def save_student(path: str | Path, net: ElasticGenerator, run: str | None = None, **meta) -> None:
    """Save a network with its architecture, constructor arguments, weights, and plain `meta` data.

    `run` is the identifier of the run that writes the file.

    The entry ``input`` of `meta`, if there is one, describes the inputs of the network by the names in
    ``INPUT_SETTINGS``; :func:`compression.encode_input` reads it.
    """
    state = {key: value.detach().cpu() for key, value in net.state_dict().items()}
    save_atomic({"format": STUDENT_FORMAT, "arch": net.full.to_json(), "config": dict(net.config),
                 "state_dict": state, "meta": meta}, path, run)


def read_student(path: str | Path) -> StudentFile:
    """Read a file that :func:`save_student` wrote, without building the network.

    Raises:
        ValueError: if the file is unreadable or not a student of this project.
    """
    data = load_file(path)
    if not is_student_content(data, path):
        raise ValueError(f"{path}: is not a student file of this project (format {STUDENT_FORMAT}); load an "
                         "upstream generator with load_original")
    try:
        student = StudentFile(Arch.from_json(data["arch"]), dict(data["config"]), data["state_dict"],
                              dict(data.get("meta", {})))
        if not isinstance(student.meta.get("original"), (str, type(None))):
            raise TypeError("its 'original' is not a path")
        _check_input(student)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the student file is damaged ({error})") from None
    return student


def is_student(path: str | Path) -> bool:
    """Return whether a checkpoint is a file that :func:`save_student` wrote; ValueError if unreadable."""
    return is_student_content(load_file(path), path)


def load_student(path: str | Path) -> ElasticGenerator:
    """Load a network that :func:`save_student` saved.

    Returns:
        The network in eval mode on the CPU. Its attribute `meta` contains the stored meta data.

    Raises:
        ValueError: if the file is unreadable or not a student of this project.
    """
    student = read_student(path)
    generator = family_by_name(student.arch.family).generator
    net = build_and_load(lambda: generator(student.arch, **student.config), student.state, path)
    net.meta = student.meta
    return net.eval()


def _check_input(student: StudentFile) -> None:
    """Check the description of the inputs; TypeError or ValueError if it cannot be that of the network."""
    described = student.meta.get("input")
    if described is None:  # a file of an earlier version
        return
    if not isinstance(described, Mapping):
        raise TypeError("its 'input' does not describe an input")
    for name, types in INPUT_SETTINGS.items():
        value = described.get(name)
        is_typed = isinstance(value, types) and isinstance(value, bool) == (types == (bool,))
        if value is not None and not is_typed:
            raise TypeError(f"its setting {name} is {value!r:.60}")
    label_nc = described.get("label_nc") or 0
    instance = not described.get("no_instance", False)
    channels = label_nc + described.get("contain_dontcare_label", False) + instance
    if label_nc and channels != student.config["input_nc"]:
        raise ValueError(f"its label maps have {channels} channels, its network takes "
                         f"{student.config['input_nc']}")

"""Student files: networks stored with their architecture."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from torch import Tensor

from ..elastic.arch import Arch
from ..elastic.generator import ElasticGenerator
from ..elastic.registry import family_by_name
from .records import Finite, Limits, Size, read_record
from .weights import STUDENT_FORMAT, build_and_load, is_student_content, load_file, save_atomic

_Number = Annotated[int, Limits(0, 65536)]  # of channels or pixels


@dataclass
class InputSettings:
    """What a file says about the inputs of its student, by the names of upstream's flags."""

    netG: str | None = None
    direction: str | None = None
    input_nc: _Number | None = None
    output_nc: _Number | None = None
    label_nc: _Number | None = None
    contain_dontcare_label: bool | None = None
    no_instance: bool | None = None
    aspect_ratio: Finite | None = None
    preprocess: str | None = None
    load_size: _Number | None = None
    crop_size: _Number | None = None


INPUT_SETTINGS = tuple(setting.name for setting in fields(InputSettings))


@dataclass
class StudentMeta:
    """The entries of `meta` in the file of a student that are read back; earlier versions lack some."""

    original: str | None = None
    original_run: str | None = None
    supernet_run: str | None = None
    size: Size | None = None
    input: InputSettings | None = None


@dataclass
class _Entries:
    """The entries of the file of a student."""

    arch: dict[str, Any]
    config: dict[str, Any]
    state_dict: dict[str, Tensor]
    meta: StudentMeta = field(default_factory=StudentMeta)


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
    entries = read_record(_Entries, data, path)
    try:
        student = StudentFile(Arch.from_json(entries.arch), entries.config, entries.state_dict,
                              dict(data.get("meta", {})))
        _check_channels(entries.meta.input, student.config)
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


def _check_channels(described: InputSettings | None, config: Mapping[str, Any]) -> None:
    """Check that the described label maps have as many channels as the network takes.

    Raises:
        ValueError: if they have not.
    """
    if described is None or not described.label_nc:  # of an earlier version, or images
        return
    channels = described.label_nc + bool(described.contain_dontcare_label) + (not described.no_instance)
    if channels != config["input_nc"]:
        raise ValueError(f"its label maps have {channels} channels, its network takes {config['input_nc']}")

"""Files of tensors and strict loading of state dicts."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from ..runtime.text import name_some, printable
from .archive import read_archive
from .files import atomic_file
from .run_ids import add_run_id

STUDENT_FORMAT = "ugc-student-1"
_NORM_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

Network = TypeVar("Network", bound=nn.Module)

# prefixes of the keys of a wrapped network: DataParallel and DistributedDataParallel, and torch.compile
WRAPPERS = ("module.", "_orig_mod.")


def save_atomic(obj: object, path: str | Path, run: str | None = None) -> None:
    """Save an object with ``torch.save``, atomically; errors as :func:`.files.atomic_file`.

    Args:
        obj: the object.
        path: the file.
        run: identifier of the run that writes the file, for :func:`.run_ids.run_of`.
    """
    with atomic_file(path) as file:
        torch.save(obj, file)
        if run:
            add_run_id(file, run)


def load_file(path: str | Path) -> object:
    """Load a file of tensors and plain data on the CPU, as :func:`.archive.read_archive` does.

    Raises:
        ValueError: if the file is missing, empty, truncated, not a checkpoint, would run code, or declares
            more memory than it contains; the message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the checkpoint is empty (0 bytes)")
    try:
        with open(path, "rb") as file:
            return read_archive(file)
    except ValueError as error:
        reason = str(error)
    except OSError as error:
        reason = error.strerror or str(error)
    raise ValueError(f"{path}: not a readable checkpoint of tensors and plain data: {reason}")


def load_state_dict_file(path: str | Path) -> dict[str, Tensor]:
    """Load an upstream state dict, or that of a student, without the prefixes of :data:`WRAPPERS`.

    Raises:
        ValueError: as :func:`load_file` and :func:`checked_weights`.
    """
    content = load_file(path)
    if is_student_content(content, path):
        content = content.get("state_dict")
    state = checked_weights(content, path)
    return without_wrappers(state)


def is_student_content(content: object, source: str | Path) -> TypeGuard[Mapping]:
    """Return whether the content of a file is that of a student.

    Raises:
        ValueError: if it is another file of this project, or a student of another version.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("format"), str):
        return False
    if content["format"] != STUDENT_FORMAT:
        raise ValueError(f"{source}: has the format {printable(repr(content['format']), 40)}, which holds no "
                         f"network for this purpose; give a student ({STUDENT_FORMAT}) of this version or a "
                         "state dict of an upstream network")
    return True


def without_wrappers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes of :data:`WRAPPERS` that all keys have, in any order and number."""
    prefix: str | None = ""
    while prefix is not None:
        state = {key.removeprefix(prefix): value for key, value in state.items()}
        prefix = next((p for p in WRAPPERS if all(key.startswith(p) for key in state)), None)
    return dict(state)


def checked_weights(state: object, source: str | Path) -> dict[str, Tensor]:
    """Check that an object is a state dict of finite weights, and convert these to float32.

    Raises:
        ValueError: if it is not a mapping of names to tensors, or weights are NaN, infinite, or not
            floating-point numbers.
    """
    if not isinstance(state, Mapping) or not state or not all(
            isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()):
        raise ValueError(f"{source}: holds no state dict (a mapping of names to tensors)")
    weights = {key: value.float() if value.is_floating_point() else value
               for key, value in state.items()}
    not_floating = [key for key, value in weights.items()
                    if not value.is_floating_point() and not key.endswith("num_batches_tracked")]
    not_finite = [key for key, value in weights.items() if not value.isfinite().all()]
    problems = (("are not floating-point numbers", not_floating), ("are NaN or infinite", not_finite))
    for problem, keys in problems:
        if keys:
            raise ValueError(f"{source}: {len(keys)} entries {problem}: {name_some(keys)}")
    return weights


def load_strictly(net: Network, state: Mapping[str, Tensor], source: str | Path) -> Network:
    """Load a state dict whose keys and shapes equal those of the network; return the network.

    Instance-norm statistics, which old PyTorch versions stored, are dropped. A missing `num_batches_tracked`
    keeps the network's value.

    Args:
        net: the network.
        state: its state dict.
        source: the file or network named in errors.

    Raises:
        ValueError: if keys or shapes differ; the message lists the differences.
    """
    net.load_state_dict(_matching_entries(net, checked_weights(state, source), source))
    return net


def build_and_load(build: Callable[[], Network], state: object, source: str | Path) -> Network:
    """Build a network and load its weights.

    The network is first built on the meta device and compared with `state`. So a file cannot cause larger
    allocations than its own weights need.

    Args:
        build: builds the network.
        state: its state dict.
        source: the file named in errors.

    Raises:
        ValueError: if the network cannot be built, or `state` does not fit it.
    """
    try:
        with torch.device("meta"):
            meta_net = build()
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{source}: describes a network that cannot be built ({str(error)[:200]})") from None
    weights = checked_weights(state, source)
    _matching_entries(meta_net, weights, source)
    return load_strictly(build(), weights, source)


def _matching_entries(net: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> dict[str, Tensor]:
    """Select the entries of `state` for :func:`load_strictly`.

    Raises:
        ValueError: if entries are missing or unknown, or shapes differ.
    """
    dropped = set()
    for name, module in net.named_modules():
        if isinstance(module, nn.InstanceNorm2d):
            dropped |= {f"{name}.{statistic}" for statistic in _NORM_STATISTICS}
    entries = {key: value for key, value in state.items() if key not in dropped}
    own = net.state_dict()
    for key in own.keys() - entries.keys():
        if key.endswith("num_batches_tracked"):  # absent in files of PyTorch before 0.4.1
            entries[key] = own[key]
    missing = sorted(own.keys() - entries.keys())
    unknown = sorted(entries.keys() - own.keys())
    other_shapes = [f"{key} {tuple(entries[key].shape)} instead of {tuple(own[key].shape)}"
                    for key in own.keys() & entries.keys() if entries[key].shape != own[key].shape]
    problems = (("entries missing", missing), ("entries unknown", unknown),
                ("of another shape", other_shapes))
    differences = [f"{len(keys)} {problem} ({name_some(keys)})" for problem, keys in problems if keys]
    if differences:
        raise ValueError(f"{source}: does not fit {type(net).__name__}: {'; '.join(differences)}")
    return entries

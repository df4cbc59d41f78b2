"""Reading and writing files of tensors, and loading state dicts that must fit."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..runtime.text import name_some
from .files import atomic_file
from .validation import validate_archive

STUDENT_FORMAT = "ugc-student-1"
_NORM_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def save_atomic(obj: object, path: str | Path) -> None:
    """``torch.save``, whole or not at all: see :func:`atomic_file`."""
    with atomic_file(path) as file:
        torch.save(obj, file)


def load_file(path: str | Path, map_location: str | torch.device = "cpu") -> object:
    """Read a file of tensors and plain data with ``weights_only=True``, once it is known to have all bytes it claims.

    Raises:
        ValueError: if the file is missing, empty, truncated, no checkpoint, would run code, or claims more memory than its
            own size; the message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the checkpoint is empty (0 bytes)")
    try:
        with open(path, "rb") as file:
            validate_archive(file)
            file.seek(0)
            return torch.load(file, map_location=map_location, weights_only=True)
    except ValueError as error:
        reason = str(error)
    except OSError as error:
        reason = error.strerror or str(error)
    except Exception as error:  # torch raises many types for foreign files
        reason = f"it is truncated or foreign ({type(error).__name__})"
    raise ValueError(f"{path}: not a readable checkpoint of tensors and plain data: {reason}")


def load_state_dict_file(path: str | Path) -> dict[str, Tensor]:
    """An upstream state dict, without the ``module.`` prefix that DataParallel writes."""
    state = load_file(path)
    if isinstance(state, Mapping) and state.get("format") == STUDENT_FORMAT:
        state = state["state_dict"]
    state = checked_weights(state, path)
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def checked_weights(state: object, source: str | Path) -> dict[str, Tensor]:
    """A state dict whose floating-point values, of whatever precision, are float32.

    Raises:
        ValueError: if it is no mapping of names to tensors, or has weights that are whole numbers, NaN or infinite.
    """
    if (not isinstance(state, Mapping) or not state
            or not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items())):
        raise ValueError(f"{source}: holds no state dict (a mapping of names to tensors)")
    found = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    wrong = {"are no floating-point numbers": [key for key, value in found.items() if not value.is_floating_point()
                                               and not key.endswith("num_batches_tracked")],
             "are NaN or infinite": [key for key, value in found.items() if not value.isfinite().all()]}
    for what, keys in wrong.items():
        if keys:
            raise ValueError(f"{source}: {len(keys)} entries {what}: {name_some(keys)}")
    return found


def load_strictly(net: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> nn.Module:
    """Load a state dict with equal keys and shapes; instance-norm statistics of old torch versions are dropped.

    Raises:
        ValueError: one message that says what `source` holds and what was asked.
    """
    net.load_state_dict(_fitting(net, checked_weights(state, source), source))
    return net


def build_and_load(make: Callable[[], nn.Module], state: Mapping[str, Tensor], source: str | Path) -> nn.Module:
    """The network that `make` builds, with the weights `state`; built only once its shapes are known to be theirs.

    Raises:
        ValueError: if it cannot be built or `state` does not fit it, whatever size a file claims for it.
    """
    try:
        with torch.device("meta"):  # shapes without memory
            twin = make()
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{source}: describes a network that cannot be built ({str(error)[:200]})") from None
    state = checked_weights(state, source)
    _fitting(twin, state, source)
    return load_strictly(make(), state, source)


def _fitting(net: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> dict[str, Tensor]:
    """`state` with the entries of `net` and no others; ValueError if shapes or other entries differ."""
    unused = {f"{name}.{entry}" for name, module in net.named_modules() if isinstance(module, nn.InstanceNorm2d)
              for entry in _NORM_STATISTICS}
    state = {key: value for key, value in state.items() if key not in unused}
    own = net.state_dict()
    for key in own.keys() - state.keys():
        if key.endswith("num_batches_tracked"):  # absent in files written before torch 0.4.1
            state[key] = own[key]
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
              for key in own.keys() & state.keys() if state[key].shape != own[key].shape]
    if missing or unexpected or shapes:
        parts = [f"{len(found)} {what} ({name_some(found)})" for what, found in
                 (("entries missing", missing), ("entries unknown", unexpected), ("of another shape", shapes)) if found]
        raise ValueError(f"{source}: does not fit {type(net).__name__}: {'; '.join(parts)}")
    return state

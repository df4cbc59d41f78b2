"""Find classes by the naming convention of the host, for ``--model`` and ``--dataset_mode``.

The value ``foo_bar`` of ``--model`` selects the class ``FooBarModel`` in ``models/foo_bar_model.py``; data
sets follow the same rule. Every file of that kind in the package is a value of the flag, except the base
class's own.
"""
import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from compression.runtime.text import unknown


def class_choices(folders: Iterable[str], kind: str) -> list[str]:
    """List the values of a flag, sorted: each ``foo_<kind>.py`` in `folders` adds ``foo``.

    Args:
        folders: the ``__path__`` of a package.
        kind: ``"model"`` or ``"dataset"``.
    """
    stems = {path.stem for folder in folders for path in Path(folder).glob(f"*_{kind}.py")}
    return sorted(stem.removesuffix(f"_{kind}") for stem in stems if stem != f"base_{kind}")


def find_class(flag: str, value: str, package: str, kind: str, base_class: type,
               advice: Mapping[str, str] | None = None) -> type:
    """Find the class that a flag's value selects. The case of the class name does not matter.

    Args:
        flag: the flag, for messages.
        value: its value.
        package: the package of the classes' modules, ``"models"`` or ``"data"``.
        kind: ``"model"`` or ``"dataset"``.
        base_class: the class to derive from.
        advice: upstream's values that do not exist here -> what to use instead.

    Raises:
        ValueError: if the value is unknown or its module has no such class. The message lists the known
            values.
    """
    choices = class_choices(importlib.import_module(package).__path__, kind)
    if value not in choices:
        if advice and value in advice:
            raise ValueError(f"{flag} {value} is not supported: {advice[value]}")
        raise ValueError(unknown(f"{flag} {value}", value, choices))
    module = importlib.import_module(f"{package}.{value}_{kind}")
    class_name = value.replace("_", "") + kind
    for name, member in vars(module).items():
        if name.lower() == class_name and isinstance(member, type) and issubclass(member, base_class):
            return member
    raise ValueError(f"{package}/{value}_{kind}.py holds no subclass of {base_class.__name__} named "
                     f"{class_name} (in any case)")

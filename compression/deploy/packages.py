"""Packages that only exports need."""
from __future__ import annotations

import importlib
import warnings
from types import ModuleType

INSTALL = "pip install -r requirements-export.txt"  # or the extra `export` of the package


def require(package: str) -> ModuleType:
    """Import a package of requirements-export.txt.

    Raises:
        ValueError: if it is not installed; the message says how to install it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(package)
    except ModuleNotFoundError as error:
        missing = error.name or package
        raise ValueError(f"this needs the package {missing}: {INSTALL} (the extra 'export')") from None

"""The generator families. Importing this package registers them.

A family is a module of this folder that calls :func:`compression.elastic.families.register`. The built-in
families come first in the registry, then the families of all other files of this folder, sorted by file name.
See docs/own_generator.md.
"""
import importlib
import importlib.util
import pkgutil

from ..elastic.generator import ElasticGenerator

__all__ = ["ElasticGenerator"]


def _import_families() -> None:
    """Import the modules of this folder.

    Raises:
        ImportError: a module cannot be imported; the message names its file.
    """
    for built_in in ("resnet", "unet", "pix2pixhd", "spade"):  # the order of the registry
        importlib.import_module(f"{__name__}.{built_in}")
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        try:
            importlib.import_module(f"{__name__}.{module.name}")
        except Exception as error:  # a user's file can raise anything
            spec = importlib.util.find_spec(f"{__name__}.{module.name}")
            path = spec.origin if spec else module.name
            raise ImportError(f"{path}: cannot load this generator family ({type(error).__name__}: {error}); "
                              "fix the file or remove it from the folder", path=path) from error


_import_families()

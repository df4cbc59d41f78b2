"""The generator families; importing this package registers them.

A family is a module of this folder that calls :func:`compression.elastic.families.register`: ours in the order of the family
table, then every further file, by name. See docs/own_generator.md.
"""
import importlib
import pkgutil

from . import resnet, unet, pix2pixhd, spade  # noqa: F401,I001  (the order of the family table)
from ..elastic.generator import ElasticGenerator

__all__ = ["ElasticGenerator"]

for _found in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
    try:
        importlib.import_module(f"{__name__}.{_found.name}")
    except Exception as error:  # whatever a file of the user's raises
        _file = _found.module_finder.find_spec(_found.name).origin
        raise ImportError(f"{_file}: this generator family cannot be loaded ({type(error).__name__}: {error}); mend the "
                          "file or take it out of the folder", path=_file) from error

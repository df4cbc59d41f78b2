"""UGC: Unified GAN Compression (ICCV 2023), the library.

Elastic generators, architecture search, and semi-supervised distillation with the Adaptive Data Filter. The
names below are the public API. Each is imported on first use.

From Python 3.14 on, the standard library also has a package ``compression``, and gzip, bz2, lzma and zipfile
import from it. This package comes first on the path, so those imports arrive here: it extends its
``__path__`` by the folder of the standard package. It must not import torch at the top level, because torch
imports gzip and would then be imported while it is only half initialized.
"""
import pkgutil
from importlib import import_module
from typing import Any

__path__ = pkgutil.extend_path(__path__, __name__)

_API = {
    "elastic.arch": ("Arch",),
    "elastic.extraction": ("calibrate", "extract"),
    "elastic.families": ("build_generator", "generator_names"),
    "originals.discriminators": ("build_discriminator",),
    "originals.initialization": ("initialize",),
    "originals.multihead": ("MultiHeadDiscriminator",),
    "checkpoints.files": ("atomic_file", "remove_temporary"),
    "checkpoints.originals": ("load_original", "load_original_discriminator"),
    "checkpoints.students": ("load_student", "save_student"),
    "checkpoints.weights": ("load_file", "save_atomic"),
    "runtime.images": ("encode_input", "encode_labels", "to_image", "to_tensor", "translate"),
    "runtime.lab": ("colorize",),
    "search.macs": ("CostModel", "cost", "parse_macs"),
    "search.space": ("SearchSpace",),
}
_MODULE_OF = {name: module for module, names in _API.items() for name in names}

__all__ = [*_MODULE_OF, "GENERATORS"]


def __getattr__(name: str) -> Any:
    """Import a name of the API. ``GENERATORS`` are the values of ``--netG`` that are currently registered."""
    if name == "GENERATORS":
        return import_module(".elastic.families", __name__).generator_names()
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value

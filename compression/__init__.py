"""UGC: Unified GAN Compression (ICCV 2023), the library.

Elastic generators, architecture search, semi-supervised distillation with the Adaptive Data Filter. The names below are
the public API; each is imported when it is first used.

From Python 3.14 on the standard library has a package `compression` too, which gzip, bz2, lzma and zipfile import from.
Both live together: this package comes first on the path and also looks for submodules in the standard one. torch itself
imports gzip, so this file must not import torch: a half-imported torch would be the result.
"""
import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)

_API = {
    "elastic.arch": ("Arch",),
    "elastic.extraction": ("calibrate", "extract"),
    "elastic.families": ("build_generator", "generator_names"),
    "originals.discriminators": ("MultiHeadDiscriminator", "build_discriminator"),
    "originals.initialization": ("initialize",),
    "checkpoints.files": ("atomic_file", "remove_temporary"),
    "checkpoints.originals": ("load_original", "load_original_discriminator"),
    "checkpoints.students": ("load_student", "save_student"),
    "checkpoints.weights": ("load_file", "save_atomic"),
    "runtime.images": ("encode_labels", "to_image", "to_tensor", "translate"),
    "search.macs": ("CostModel", "cost", "parse_macs"),
    "search.space": ("SearchSpace",),
}
_MODULE_OF = {name: module for module, names in _API.items() for name in names}

__all__ = [*_MODULE_OF, "GENERATORS"]


def __getattr__(name: str):
    """Import a name of the API. ``GENERATORS`` holds the values of ``--netG`` that are registered at the moment."""
    from importlib import import_module

    if name == "GENERATORS":
        return import_module(".elastic.families", __name__).generator_names()
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value

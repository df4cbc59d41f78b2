"""UGC: Unified GAN Compression (ICCV 2023), the library.

Elastic generators, architecture search, semi-supervised distillation with the Adaptive Data Filter.
"""
import sys

if sys.version_info >= (3, 14):
    raise ImportError("Python 3.14 and later have a standard-library package named 'compression'; "
                      "use Python 3.10 to 3.13 for this project")

from . import generators  # noqa: E402,F401  (registers the families)
from .arch import Arch  # noqa: E402
from .checkpoints import load_file, load_original, load_original_discriminator, load_student  # noqa: E402
from .checkpoints import save_atomic, save_student  # noqa: E402
from .discriminators import MultiHeadDiscriminator, build_discriminator  # noqa: E402
from .extraction import calibrate, extract  # noqa: E402
from .families import build_generator, generator_names  # noqa: E402
from .files import atomic_file, remove_temporary  # noqa: E402
from .images import encode_labels, to_image, to_tensor, translate  # noqa: E402
from .initialization import initialize  # noqa: E402
from .macs import CostModel, cost, parse_macs  # noqa: E402
from .space import SearchSpace  # noqa: E402


def __getattr__(name: str):
    """``GENERATORS``: the ``--netG`` names known at the moment, those of families registered later too."""
    if name == "GENERATORS":
        return generator_names()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Malformed and unusual inputs, and how the programs must handle each."""
from .arch_files import ARCH_FILES
from .checkpoints import CHECKPOINTS
from .datasets import LABELS, PAIRS
from .flags import FLAGS
from .harness import EITHER, HANDLED, Case, run
from .images import IMAGES
from .students import STUDENTS

__all__ = ["CASES", "EITHER", "HANDLED", "Case", "run"]

CASES = [*IMAGES, *PAIRS, *LABELS, *ARCH_FILES, *CHECKPOINTS, *STUDENTS, *FLAGS]

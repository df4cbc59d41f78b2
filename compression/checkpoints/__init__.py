"""Files: upstream's checkpoints, our students, what is checked before a file is loaded, and atomic writing."""
from .files import atomic_file, read_json, remove_temporary, write_json, write_text
from .originals import (
    read_architecture,
    discriminator_flags,
    load_original,
    load_original_discriminator,
    original_flags,
)
from .students import load_student, save_student
from .weights import (
    STUDENT_FORMAT,
    checked_weights,
    build_and_load,
    load_file,
    load_state_dict_file,
    load_strictly,
    save_atomic,
)

__all__ = [
    "STUDENT_FORMAT", "atomic_file", "checked_weights", "read_architecture", "discriminator_flags", "fitted", "load_file",
    "load_original", "load_original_discriminator", "load_state_dict_file", "load_strictly", "load_student",
    "original_flags", "read_json", "remove_temporary", "save_atomic", "save_student", "write_json", "write_text",
]

"""Checkpoint files: upstream's networks, students, validation, and atomic writes."""
from .files import MAX_STATE_BYTES, atomic_file, read_json, remove_temporary, write_json, write_text
from .originals import (
    discriminator_flags,
    load_original,
    load_original_discriminator,
    original_flags,
    read_architecture,
)
from .run_ids import check_one_run, check_one_search, is_run_id, run_of
from .students import INPUT_SETTINGS, is_student, load_student, read_student, save_student
from .weights import (
    STUDENT_FORMAT,
    build_and_load,
    checked_weights,
    load_file,
    load_state_dict_file,
    load_strictly,
    save_atomic,
)

__all__ = [
    "INPUT_SETTINGS", "MAX_STATE_BYTES", "STUDENT_FORMAT", "atomic_file", "build_and_load", "check_one_run",
    "check_one_search", "checked_weights", "discriminator_flags", "is_run_id", "is_student", "load_file",
    "load_original", "load_original_discriminator", "load_state_dict_file", "load_strictly", "load_student",
    "original_flags", "read_architecture", "read_json", "read_student", "remove_temporary", "run_of",
    "save_atomic", "save_student", "write_json", "write_text",
]

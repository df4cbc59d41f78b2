"""What the file of a student says about its inputs, so that no flag has to repeat it."""
from pathlib import Path

from compression.checkpoints.originals import original_flags
from compression.checkpoints.students import INPUT_SETTINGS, is_student, read_student
from compression.elastic.families import generator_names

from .earlier_runs import Settings
from .whole_images import whole_images

VALUE_RANGE = (-1.0, 1.0)  # of images; encoded label maps hold 0 and 1


def inputs_of(opt):
    """Collect what a student has to know about its inputs: channels, classes, and size.

    Args:
        opt: the options of the training or the search.

    Returns:
        Settings by the name of their flag, and the ``value_range`` of images. Images are scaled as in
        training and not cropped.
    """
    settings = {name: getattr(opt, name) for name in INPUT_SETTINGS if hasattr(opt, name)}
    return {**settings, **whole_images(opt), "value_range": list(VALUE_RANGE)}


def settings_of_student(path):
    """Read the settings that a student's file records, or that the checkpoint of an original determines.

    Args:
        path: the file; a student of an earlier version records only the channels.

    Returns:
        :class:`Settings`.

    Raises:
        ValueError: if the file cannot be read.
    """
    if not is_student(path):
        flags = original_flags(path)
        return Settings(path, {name: value for name, value in flags.items()
                               if name != "netG" or value in generator_names()})
    student = read_student(path)
    channels = {name: student.config[name] for name in ("input_nc", "output_nc") if name in student.config}
    described = student.meta.get("input") or {}
    settings = {name: described[name] for name in INPUT_SETTINGS if described.get(name) is not None}
    return Settings(path, settings if settings.get("label_nc") else settings | channels)


def add_student_settings(settings, known, folder):
    """Add the settings that the file of the student records to those of the earlier run.

    They take precedence, because they describe the network. Without ``--student``, only the file of a run
    without recorded settings is read.

    Args:
        settings: the :class:`Settings` of the earlier run; empty if it has not recorded any.
        known: the options parsed so far.
        folder: the folder of the run.

    Returns:
        :class:`Settings`.
    """
    given = getattr(known, "student", None)
    if given:
        return settings | settings_of_student(given)
    in_run = Path(folder) / f"{known.epoch}_student.pth"
    if settings or known.model != "ugc_student" or not in_run.is_file():
        return settings
    return settings_of_student(in_run)

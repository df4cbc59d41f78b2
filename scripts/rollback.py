"""Replace files in steps that can be undone, so that a failed installation leaves everything as it was.

The argument `undo` is an ``ExitStack`` where each function registers how to undo its step. In the case of an
error the steps are undone in reverse order; after a success the caller discards them with ``pop_all()``.
"""
import os
from pathlib import PurePosixPath


def blocking_folder(target, path):
    """Return the first of the folders of `path` that is a link or not a folder, or None."""
    for folder in reversed([str(p) for p in PurePosixPath(path).parents][:-1]):
        at = target / folder
        if os.path.lexists(at) and (at.is_symlink() or not at.is_dir()):
            return folder
    return None


def new_name(path):
    """Return the temporary name under which the new content of `path` is written."""
    return path.with_name(f".{path.name}.ugc_new")


def old_name(path):
    """Return the name under which the old file `path` is kept until the installation is finished."""
    return path.with_name(f".{path.name}.ugc_old")


def stage(path, content, undo):
    """Write the new content of `path` under its temporary name."""
    undo.callback(new_name(path).unlink, missing_ok=True)
    with open(new_name(path), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def back_up(path, undo):
    """Rename a file so that it can be restored."""
    os.replace(path, old_name(path))
    undo.callback(os.replace, old_name(path), path)


def swap_staged(path, undo):
    """Replace a file by its staged content."""
    if path.exists():
        back_up(path, undo)
    undo.callback(path.unlink, missing_ok=True)
    os.replace(new_name(path), path)


def swap(path, content, undo):
    """Write a file atomically."""
    stage(path, content, undo)
    swap_staged(path, undo)


def remove_left_overs(target, names):
    """Remove the temporary files that a killed installation left next to the files."""
    for name in names:
        if not blocking_folder(target, name):
            for path in (new_name(target / name), old_name(target / name)):
                path.unlink(missing_ok=True)

"""The folder of a run: its lock, its training state, and the files of an earlier run in it."""
from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from compression import load_file, remove_temporary
from compression.runtime import distributed

from .lock import FolderLock

STATE_FORMAT = "ugc-state-2"
LOGS = ("losses.jsonl", "loss_log.txt")  # training appends to them; a resume truncates them to the last save
_RUN_LOGS = (*LOGS, "validation.jsonl", "best_*")  # the files of one run next to its checkpoints
_MOVING = "previous"  # exists only while files are moved; a later run moves its content back


def folder_of(opt: Namespace) -> Path:
    """Return the folder of a run, ``--checkpoints_dir``/``--name``."""
    return Path(opt.checkpoints_dir) / opt.name


def state_path(folder: str | os.PathLike) -> Path:
    """Return the path of the training state, which ``--continue_train`` reads."""
    return Path(folder) / "latest_state.pth"


def load_state(folder: str | os.PathLike) -> dict[str, Any]:
    """Load the training state of a run.

    Raises:
        ValueError: if the file is missing, damaged or of another format.
    """
    state = load_file(state_path(folder))
    state_format = state.get("format") if isinstance(state, dict) else None
    if state_format != STATE_FORMAT:
        raise ValueError(f"{state_path(folder)}: is not a training state of this version: expected the "
                         f"format {STATE_FORMAT}, got {state_format or 'an unknown one'}")
    check_names(state, state_path(folder))
    return state


def check_names(state: dict[str, Any], path: Path) -> None:
    """Check the parts of a training state that become names of files or folders.

    Every path that is built from them stays in the folder of the run.

    Raises:
        ValueError: if the run's identifier or a tag is not one that :class:`util.progress.Progress` writes.
    """
    run, tags = state.get("run"), state.get("tags")
    if not isinstance(run, str) or not re.fullmatch(r"[0-9a-f]{32}", run):
        raise ValueError(f"{path}: the identifier of the run must be 32 hexadecimal digits, got {run!r:.60}")
    if not isinstance(tags, list):
        raise ValueError(f"{path}: expected a list of checkpoint tags, got {tags!r:.60}")
    for tag in tags:
        if isinstance(tag, bool) or not re.fullmatch(r"latest|best|(iter_)?[0-9]{1,18}", str(tag)):
            raise ValueError(f"{path}: a checkpoint tag is latest, best, an epoch or iter_N, got {tag!r:.60}")


@contextmanager
def run_folder(opt: Namespace) -> Iterator[Path]:
    """Lock the folder of a run, so that no other process trains or searches in it; yields the folder.

    Temporary files that killed processes left are removed.

    Raises:
        ValueError: if another process has locked the folder.
        OSError: if the folder is not writable.
    """
    folder = folder_of(opt)
    if distributed.rank():  # rank 0 locks the folder for all processes
        yield folder
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(FolderLock(folder))
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"room for a byte?")
        except OSError as error:
            raise OSError(f"{folder} cannot be written to ({error.strerror}); choose another "
                          "--checkpoints_dir") from None
        for part in ("", "search", "web", "web/images"):
            remove_temporary(folder / part)
        yield folder


def stash_previous_run(folder: Path, run: str) -> None:
    """Move the logs and best networks of an earlier run away until the new run saves for the first time.

    The checkpoints of the earlier run stay in place until then. If the new run never saves, :func:`recover`
    moves the stashed files back. The logs of an earlier run that never saved are deleted.

    Args:
        folder: the folder of the run.
        run: the identifier of the new run.
    """
    if not any(folder.glob("latest_*.pth")):
        for path in run_logs(folder):
            path.unlink()
        return
    print(f"warning: {folder} holds an earlier run; its checkpoints stay until the first save of this new "
          "one replaces them (--continue_train would continue it)", file=sys.stderr)
    _move(run_logs(folder), folder / _MOVING)
    os.rename(folder / _MOVING, folder / f"previous_{run}")


def recover(folder: Path) -> None:
    """Finish what :func:`stash_previous_run` began in runs that were killed.

    If the new run has saved, the stashed files are deleted; otherwise all of them are moved back.
    """
    for stash in folder.glob("previous_*"):
        run = load_state(folder)["run"] if state_path(folder).is_file() else None
        if stash.name == f"previous_{run}":
            drop_stash(folder, run)
            continue
        for path in run_logs(folder):
            path.unlink()
        os.rename(stash, folder / _MOVING)
    if (folder / _MOVING).is_dir():
        _move((folder / _MOVING).iterdir(), folder)
        (folder / _MOVING).rmdir()


def run_logs(folder: Path) -> list[Path]:
    """List the logs and best networks of a run, the files next to its checkpoints."""
    return [path for pattern in _RUN_LOGS for path in folder.glob(pattern)]


def drop_stash(folder: Path, run: str) -> None:
    """Delete the files of the earlier run that were stashed for `run`, which has now saved."""
    shutil.rmtree(folder / f"previous_{run}", ignore_errors=True)


def _move(paths: Iterable[Path], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for path in list(paths):
        os.replace(path, folder / path.name)


def log_sizes(folder: Path) -> dict[str, int]:
    """Flush the logs to disk and return their sizes, name -> bytes."""
    sizes = {}
    for path in _existing_logs(folder):
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
            sizes[path.name] = file.seek(0, os.SEEK_END)
    return sizes


def cut_logs(folder: Path, sizes: dict[str, int]) -> None:
    """Truncate the logs to the sizes that :func:`log_sizes` returned at the last save."""
    for path in _existing_logs(folder):
        size = sizes.get(path.name, 0)
        if path.stat().st_size > size:
            os.truncate(path, size)


def _existing_logs(folder: Path) -> list[Path]:
    return [folder / name for name in LOGS if (folder / name).is_file()]

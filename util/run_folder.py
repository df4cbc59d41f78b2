"""The folder of a run: its lock, its training state, and the files of an earlier run in it."""
from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compression import load_file, remove_temporary
from compression.checkpoints import is_run_id
from compression.checkpoints.records import read_record
from compression.runtime import distributed
from compression.runtime.text import printable

from .lock import FolderLock

STATE_FORMAT = "ugc-state-2"
LOGS = ("losses.jsonl", "loss_log.txt")  # training appends to them; a resume truncates them to the last save
# entries that are written in place or into: a link would lead out of the folder of the run
_FILES = (".lock", *LOGS)
_NOT_LINKED = (*_FILES, "search", "web", "web/images", "tensorboard", "wandb")
_SEARCH_FILES = ("state.json", "student.json", "teacher_wide.json", "teacher_deep.json", "pareto.json",
                 "pareto.png")
_TAG = r"(?:latest|best|(?:iter_)?[0-9]{1,18})"  # of a checkpoint
_NETWORK_FILE = re.compile(rf"{_TAG}_(?:net_[A-Za-z0-9]+|student|segmenter)\.pth")


def folder_of(opt: Namespace) -> Path:
    """Return the folder of a run, ``--checkpoints_dir``/``--name``."""
    return Path(opt.checkpoints_dir) / opt.name


def results_folder(opt: Namespace) -> Path:
    """Return the folder for the results of a run, ``results/NAME/PHASE_EPOCH``."""
    tag = f"{opt.phase}_{opt.epoch}" + (f"_iter{opt.load_iter}" if opt.load_iter > 0 else "")
    return Path(opt.results_dir) / opt.name / tag


def state_path(folder: str | os.PathLike) -> Path:
    """Return the path of the training state, which ``--continue_train`` reads."""
    return Path(folder) / "latest_state.pth"


def load_state(folder: str | os.PathLike) -> dict[str, Any]:
    """Load the training state of a run.

    Raises:
        ValueError: if the file is missing, damaged or of another format.
    """
    path = state_path(folder)
    state = load_file(path)
    state_format = state.get("format") if isinstance(state, dict) else None
    if not isinstance(state_format, str) or state_format != STATE_FORMAT:
        shown = printable(state_format, 40) if isinstance(state_format, str) else "an unknown one"
        raise ValueError(f"{path}: is not a training state of this version: expected the format "
                         f"{STATE_FORMAT}, got {shown}")
    check_names(read_record(_Names, state, path), path)
    return state


@dataclass
class _Names:
    """The parts of a training state that become names of files or folders, and its flags."""

    run: str
    tags: list[str | int]
    settings: dict[str, Any]


def check_names(names: _Names, path: Path) -> None:
    """Check the parts of a training state that become names of files or folders.

    Every path that is built from them stays in the folder of the run.

    Raises:
        ValueError: if the run's identifier or a tag is not one that :class:`util.progress.Progress` writes.
    """
    if not is_run_id(names.run):
        raise ValueError(f"{path}: the identifier of the run must be 32 hexadecimal digits, got "
                         f"{names.run!r:.60}")
    for tag in names.tags:
        if not re.fullmatch(_TAG, str(tag)):
            raise ValueError(f"{path}: a checkpoint tag is latest, best, an epoch or iter_N, got {tag!r:.60}")


@contextmanager
def run_folder(opt: Namespace) -> Iterator[Path]:
    """Lock the folder of a run, so that no other process trains or searches in it; yields the folder.

    Temporary files that killed processes left are removed. A folder that is created here and stays empty is
    removed at the end.

    Raises:
        ValueError: if another process has locked the folder, or a part of the folder is a symbolic link.
        OSError: if the folder is not writable.
    """
    folder = folder_of(opt)
    if distributed.rank():  # rank 0 locks the folder for all processes
        yield folder
        return
    check_links(folder)
    created = [path for path in (folder, *folder.parents) if not path.exists()]
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
        try:
            yield folder
        finally:
            _remove_empty(created)


def check_links(folder: Path) -> None:
    """Check that no entry of a run's folder leads out of it.

    The folder itself may be a link, as to a larger disk.

    Raises:
        ValueError: if an entry that is written in place is a symbolic link, or a file that is appended to is
            no regular file.
    """
    for name in _NOT_LINKED:
        path = folder / name
        if name in _FILES and path.exists() and not path.is_file():  # writing to a pipe waits for a reader
            raise ValueError(f"{path} is not a regular file; remove it, or choose another --name")
        if path.is_symlink():
            raise ValueError(f"{path} is a symbolic link; a run only writes into its own folder. "
                             "Remove the link, or choose another --name")


def _remove_empty(created: Sequence[Path]) -> None:
    """Remove the folder of a run with its parents, as far as they are in `created`, if nothing was saved."""
    if not created or any(name != ".lock" for name in os.listdir(created[0])):
        return
    with suppress(OSError):  # Windows does not remove a locked file
        (created[0] / ".lock").unlink()
        for path in created:
            path.rmdir()


def network_files(folder: Path) -> list[Path]:
    """List the files of networks in the folder of a run: regular files with names that training writes."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if _NETWORK_FILE.fullmatch(path.name) and is_own(path)]


def holds_run(folder: Path) -> bool:
    """Return whether a folder holds a run of this project or of upstream that has saved something."""
    return state_path(folder).is_file() or bool(network_files(folder))


def is_own(path: Path) -> bool:
    """Return whether a path is a regular file and not a link."""
    return path.is_file() and not path.is_symlink()


def stash_previous_run(folder: Path, run: str) -> None:
    """Move the logs and best networks of an earlier run away until the new run saves for the first time.

    The other files of the earlier run stay in place until then. If the new run never saves, :func:`recover`
    moves the stashed files back. The logs of an earlier run that never saved are deleted.

    Args:
        folder: the folder of the run.
        run: the identifier of the new run.
    """
    if not holds_run(folder):
        for path in run_logs(folder):
            path.unlink()
        return
    print(f"warning: {printable(folder)} holds an earlier run; its files stay until the first save of this "
          "new one replaces them (--overwrite)", file=sys.stderr)
    partial = folder / f"previous_{run}.partial"
    _move(run_logs(folder), partial)
    os.rename(partial, folder / f"previous_{run}")


def recover(folder: Path) -> None:
    """Finish what :func:`stash_previous_run` began in runs that were killed.

    If the new run has saved, the rest of the earlier one is deleted; otherwise all of it is moved back.
    """
    for stash in _stashes(folder, ""):
        run = load_state(folder)["run"] if state_path(folder).is_file() else None
        if stash.name == f"previous_{run}":
            drop_previous_run(folder, run)
            continue
        for path in run_logs(folder):
            path.unlink()
        os.rename(stash, f"{stash}.partial")
    for stash in _stashes(folder, ".partial"):
        _move(stash.iterdir(), folder)
        stash.rmdir()


def _stashes(folder: Path, suffix: str) -> list[Path]:
    """List the folders of stashed files; folders of other names and links are the user's."""
    return [path for path in folder.glob(f"previous_*{suffix}") if path.is_dir() and not path.is_symlink()
            and re.fullmatch(r"previous_[0-9a-f]{32}", path.name.removesuffix(suffix))]


def run_logs(folder: Path) -> list[Path]:
    """List the logs and best networks of a run, the files next to its checkpoints."""
    best = [path for path in network_files(folder) if path.name.startswith("best_")]
    logs = [folder / name for name in (*LOGS, "validation.jsonl")]
    return [path for path in logs if is_own(path)] + best


def drop_previous_run(folder: Path, run: str) -> None:
    """Delete what is left of the earlier run after the first save of the new one, `run`."""
    stash = folder / f"previous_{run}"
    if stash not in _stashes(folder, ""):
        return
    remove_networks(folder)
    shutil.rmtree(stash)  # last: while it exists, the deletion is not complete


def remove_networks(folder: Path) -> None:
    """Delete the networks and the results of the search of an overwritten run.

    The best networks are already those of the new run.
    """
    networks = [path for path in network_files(folder) if not path.name.startswith("best_")]
    results = []
    if not (folder / "search").is_symlink():
        results = [folder / "search" / name for name in _SEARCH_FILES]
    for path in networks + [path for path in results if is_own(path)]:
        path.unlink()


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
    return [folder / name for name in LOGS if is_own(folder / name)]

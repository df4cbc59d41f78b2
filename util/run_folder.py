"""The folder of a run: one process at a time, its training state, and what becomes of an earlier run in it."""
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

from compression import load_file, remove_temporary
from compression.runtime import distributed

from .lock import FolderLock

STATE_FORMAT = "ugc-state-2"
LOGS = ("losses.jsonl", "loss_log.txt")  # appended to as training goes; cut back on a resume
_RUN_LOGS = (*LOGS, "validation.jsonl", "best_*")  # of one run, beside its checkpoints
_MOVING = "previous"  # while files move: whatever is in there goes back


def folder_of(opt):
    """``--checkpoints_dir``/``--name``."""
    return Path(opt.checkpoints_dir) / opt.name


def state_path(folder):
    """The file that ``--continue_train`` reads."""
    return Path(folder) / "latest_state.pth"


def load_state(folder):
    """The training state of a run.

    Raises:
        ValueError: if it is missing, damaged or of another format.
    """
    state = load_file(state_path(folder))
    found = state.get("format") if isinstance(state, dict) else None
    if found != STATE_FORMAT:
        raise ValueError(f"{state_path(folder)}: is no training state of this version (format {STATE_FORMAT}), but "
                         f"{found or 'something else'}")
    return state


@contextmanager
def run_folder(opt):
    """Hold the folder of a run: no other process trains or searches in it; what killed processes left is removed.

    Raises:
        ValueError: if another process is at work in it.
        OSError: if it cannot be written to.
    """
    folder = folder_of(opt)
    if distributed.rank():  # the first process holds it for all
        yield folder
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(FolderLock(folder))
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"room for a byte?")
        except OSError as error:
            raise OSError(f"{folder} cannot be written to ({error.strerror}); choose another --checkpoints_dir") from None
        for part in ("", "search", "web", "web/images"):
            remove_temporary(folder / part)
        yield folder


def stash_previous_run(folder, run):
    """A new run in the folder: logs and best networks of an earlier one leave until `run` saves for the first time.

    The earlier run's checkpoints stay in place until then, too; if the new run never saves, :func:`recover` brings
    everything back. What a run that never saved has left is removed.
    """
    if not any(folder.glob("latest_*.pth")):
        for path in run_logs(folder):
            path.unlink()
        return
    print(f"warning: {folder} holds an earlier run; its checkpoints stay until the first save of this new one replaces them "
          "(--continue_train would continue it)", file=sys.stderr)
    _move(run_logs(folder), folder / _MOVING)
    os.rename(folder / _MOVING, folder / f"previous_{run}")


def recover(folder):
    """Finish what killed runs have begun with :func:`stash_previous_run`: an earlier run is gone, or wholly back."""
    for aside in folder.glob("previous_*"):
        run = load_state(folder)["run"] if state_path(folder).is_file() else None
        if aside.name == f"previous_{run}":
            drop_stash(folder, run)
            continue
        for path in run_logs(folder):
            path.unlink()
        os.rename(aside, folder / _MOVING)
    if (folder / _MOVING).is_dir():
        _move((folder / _MOVING).iterdir(), folder)
        (folder / _MOVING).rmdir()


def run_logs(folder):
    """The files of one run beside its checkpoints."""
    return [path for pattern in _RUN_LOGS for path in folder.glob(pattern)]


def drop_stash(folder, run):
    """`run` has saved: what it set aside goes."""
    shutil.rmtree(folder / f"previous_{run}", ignore_errors=True)


def _move(paths, folder):
    folder.mkdir(exist_ok=True)
    for path in list(paths):
        os.replace(path, folder / path.name)


def log_sizes(folder):
    """name -> bytes of the logs, which are on disk when this returns."""
    sizes = {}
    for path in (folder / name for name in LOGS if (folder / name).is_file()):
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
            sizes[path.name] = file.seek(0, os.SEEK_END)
    return sizes


def cut_logs(folder, sizes):
    """Cut the logs back to what they were when :func:`log_sizes` told `sizes`."""
    for path in (folder / name for name in LOGS if (folder / name).is_file()):
        if path.stat().st_size > sizes.get(path.name, 0):
            os.truncate(path, sizes.get(path.name, 0))

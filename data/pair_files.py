"""What the scripts in datasets/ share: pairs of images, and folders that appear when they are complete."""
import argparse
import os
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from compression.runtime.text import name_some, printable


def side_by_side(left, right):
    """Paste two RGB images of equal size into one of twice the width."""
    width, height = left.size
    pair = Image.new("RGB", (2 * width, height))
    pair.paste(left, (0, 0))
    pair.paste(right, (width, 0))
    return pair


class ScriptParser(argparse.ArgumentParser):
    """A parser of flags that are spelled out and have values; it prints errors as one line."""

    def __init__(self, description):
        super().__init__(description=description, allow_abbrev=False,
                         formatter_class=argparse.RawDescriptionHelpFormatter)

    def parse_args(self, *arguments):
        """Parse, and refuse an empty value, such as that of a shell variable that is not set."""
        args = super().parse_args(*arguments)
        empty = [name for name, value in vars(args).items() if value == ""]
        if empty:
            self.error(f"argument --{empty[0]}: must not be empty")
        return args

    def error(self, message):
        """Print one line on stderr and exit with status 2."""
        self.exit(2, f"error: {printable(message)}\n")


def run_script(prepare):
    """Run what a script does: an error or an interruption becomes one line and an exit status.

    Ctrl-C and SIGTERM end the program after its temporary folder was removed.

    Args:
        prepare: the function to run; it prints the result.

    Returns:
        The exit status: 0, 2 for wrong input, 130 for Ctrl-C.
    """
    previous = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        prepare()
    except (ValueError, OSError) as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)
    return 0


def check_phases(phases):
    """Check that phases are names of folders, so that no path leaves the folder that has them.

    Returns:
        The phases, each once.

    Raises:
        ValueError: if a phase is empty, has a path separator, or is a folder above.
    """
    invalid = [phase for phase in phases if phase in ("", ".", "..") or set(phase) & set("/\\\0")]
    if invalid:
        raise ValueError(f"--phases are names of folders, got {name_some(map(repr, invalid), 10)}")
    return tuple(dict.fromkeys(phases))


def require_new_folders(out, names):
    """Check that the folders can be created.

    Args:
        out: the output folder, or a link to it.
        names: names of the folders in it.

    Raises:
        ValueError: if `out` is a file or a broken link, or a folder (or a link of its name) exists.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise ValueError(f"--out {out} is not a folder; choose a folder")
    existing = [str(out / name) for name in names if os.path.lexists(out / name)]
    if existing:
        raise ValueError(f"{name_some(existing, 10)}: already exists; delete it or choose another --out")


@contextmanager
def complete_folders(out):
    """Create folders in `out` that appear only when they are complete.

    The ``with`` block writes the folders into the temporary folder that it receives. If it ends without an
    error, they are moved to `out`.

    Raises:
        OSError: if a file cannot be written, as on a full disk; the message names `out`.
    """
    out.mkdir(parents=True, exist_ok=True)
    # on the same disk, so that moving is renaming
    temporary = Path(tempfile.mkdtemp(prefix=".prepare_", dir=out))
    try:
        yield temporary
        for folder in sorted(temporary.iterdir()):
            folder.rename(out / folder.name)
    except OSError as error:
        if error.filename and not str(error.filename).startswith(str(temporary)):
            raise
        raise OSError(f"--out {out}: cannot be written ({error.strerror or error}); nothing new is "
                      "kept") from error
    finally:
        shutil.rmtree(temporary)

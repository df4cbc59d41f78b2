"""Run an entry point on a malformed input in this process."""
import contextlib
import io
import runpy
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modules import load_module
from paths import ROOT
from util.entry import run_main

HANDLED = "handled"  # the input is used
EITHER = "either"  # used or refused: a flipped bit may be where nothing reads it


@dataclass(frozen=True)
class Case:
    """A malformed or unusual input.

    Attributes:
        kind: the type of the input.
        name: what is wrong with it.
        entry: the program that reads it.
        make: a function that writes the input into an empty folder and returns the command line.
        expected: HANDLED, EITHER, or a part of the error message.
    """

    kind: str
    name: str
    entry: str
    make: Callable[[Path], list]
    expected: str

    def __str__(self):
        return f"{self.kind}: {self.name}".replace(" ", "-")


@dataclass(frozen=True)
class Outcome:
    """How a program ended: exit status, output, and whether foreign code ran or an image was written."""

    status: int
    out: str
    errors: str
    ran: bool
    wrote: bool

    @property
    def handled(self):
        return self.status == 0 and "error:" not in self.errors

    @property
    def refused(self):
        """Whether it ended with one error line and exit status 2, without output files."""
        messages = [line for line in self.errors.splitlines() if line.startswith("error: ")]
        return self.status == 2 and len(messages) == 1 and "Traceback" not in self.errors and not self.wrote


def load(name):
    """Load the main function of an entry point by path, because the standard library also has a ``test``."""
    if name == "cost":  # imported as a module it would take the place of the function of that name
        return partial(runpy.run_module, "compression.cost", run_name="__main__")
    return load_module(ROOT / f"{name}.py", f"entry_{name}").main


def command(entry, arguments):
    """Return the arguments of ``python`` that run an entry point in a separate process."""
    program = ["-m", "compression.cost"] if entry == "cost" else [f"{entry}.py"]
    return [*program, *arguments]


def run(case, folder):
    """Write the input of a case into `folder` and run its program on it.

    A payload that runs writes the file ``ran`` into `folder`. Images are written to ``out.png`` or ``out``.

    Returns:
        The :class:`Outcome`.
    """
    arguments = case.make(folder)
    out = io.StringIO()
    errors = io.StringIO()
    status = 0
    argv = sys.argv
    sys.argv = [case.entry, *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            run_main(load(case.entry))
    except SystemExit as stop:
        status = stop.code or 0
    except Exception:  # would end in a traceback
        errors.write(traceback.format_exc())
        status = 1
    finally:
        sys.argv = argv
    wrote = any((folder / name).exists() for name in ("out.png", "out"))
    return Outcome(status, out.getvalue(), errors.getvalue(), (folder / "ran").exists(), wrote)

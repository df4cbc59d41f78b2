"""A malformed input, and an entry point run on it inside this process."""
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
EITHER = "either"  # used or refused: a flipped bit may lie where nothing reads it


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        kind: what sort of input it is.
        name: what is wrong with it.
        entry: the program that meets it.
        make: (empty folder) -> the command line; writes the input below the folder.
        wanted: HANDLED, EITHER, or what the error line says.
    """

    kind: str
    name: str
    entry: str
    make: Callable[[Path], list]
    wanted: str

    def __str__(self):
        return f"{self.kind}: {self.name}".replace(" ", "-")


@dataclass(frozen=True)
class Outcome:
    """How a program ended: exit status, what it said, and whether foreign code ran or an image was written."""

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
        """With one line of error, exit status 2 and nothing left behind."""
        told = [line for line in self.errors.splitlines() if line.startswith("error: ")]
        return self.status == 2 and len(told) == 1 and "Traceback" not in self.errors and not self.wrote


def load(name):
    """The main function of an entry point; imported by path, for the standard library has a ``test`` too."""
    if name == "cost":  # imported as a module it would take the place of the function of that name
        return partial(runpy.run_module, "compression.cost", run_name="__main__")
    return load_module(ROOT / f"{name}.py", f"entry_{name}").main


def command(entry, arguments):
    """Return the arguments of ``python`` that run an entry point in a separate process."""
    program = ["-m", "compression.cost"] if entry == "cost" else [f"{entry}.py"]
    return [*program, *arguments]


def run(case, folder):
    """Make the input of a case below `folder`, run its program on it, and say how that ended.

    A payload announces itself by a file ``ran`` in `folder`; images go to ``out.png`` or ``out``.
    """
    arguments, out, errors, status = case.make(folder), io.StringIO(), io.StringIO(), 0
    argv, sys.argv = sys.argv, [case.entry, *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            run_main(load(case.entry))
    except SystemExit as stop:
        status = stop.code or 0
    except Exception:  # what would be a traceback
        errors.write(traceback.format_exc())
        status = 1
    finally:
        sys.argv = argv
    return Outcome(status, out.getvalue(), errors.getvalue(), (folder / "ran").exists(),
                   any((folder / name).exists() for name in ("out.png", "out")))

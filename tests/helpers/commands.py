"""Run entry points as their users do, in a separate process or (faster) in this one."""
import contextlib
import importlib
import io
import os
import subprocess
import sys
from unittest import mock

import torch

from paths import ROOT


def environment(**changes):
    """Return the environment of this process with variables changed, or removed if the value is None."""
    variables = {**os.environ, **changes}
    return {name: value for name, value in variables.items() if value is not None}


def execute(*arguments, cwd=ROOT, env=None, timeout=300):
    """Run ``python ARGUMENTS``, whatever its exit status; returns the ``subprocess.CompletedProcess``."""
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, env=env, capture_output=True,
                          text=True, timeout=timeout)


def run(*arguments, status=0, cwd=ROOT, env=None, timeout=300):
    """Run ``python ARGUMENTS`` and check its exit status.

    Unless the expected status is 1 (an uncaught exception), a traceback fails the test.

    Returns:
        the ``subprocess.CompletedProcess`` with its output as text.
    """
    done = execute(*arguments, cwd=cwd, env=env, timeout=timeout)
    assert done.returncode == status, f"{arguments}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert status == 1 or "Traceback" not in done.stderr, done.stderr[-3000:]
    return done


def start(*arguments, **settings):
    """Start ``python ARGUMENTS`` with one thread; returns the ``subprocess.Popen`` with pipes of text."""
    return subprocess.Popen([sys.executable, *map(str, arguments)], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=environment(OMP_NUM_THREADS="1"), **settings)


def train_here(*arguments, status=0):
    """Run train.py in this process with one thread; returns (standard output, standard error).

    The estimate of the memory of a step is left out, because it takes as long as several tiny steps.
    """
    with mock.patch("train.report_memory"):
        return run_here("train", *arguments, status=status)


def run_here(script, *arguments, status=0):
    """Run an entry point in this process with one thread; returns (standard output, standard error)."""
    entry = importlib.import_module(script)
    out, err, exit_status = io.StringIO(), io.StringIO(), 0
    argv, threads = sys.argv, torch.get_num_threads()
    sys.argv = [f"{script}.py", *map(str, arguments)]
    torch.set_num_threads(1)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            entry.run_main(entry.main)
    except SystemExit as stop:
        exit_status = stop.code
    finally:
        sys.argv = argv
        torch.set_num_threads(threads)
    assert exit_status == status, err.getvalue()
    return out.getvalue(), err.getvalue()


def torchrun(processes):
    """Return the arguments that start a script in several processes; none for one process."""
    if processes == 1:
        return []
    return ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]


def in_double(script, *arguments, processes=1):
    """Return the arguments that run an entry point in double precision (tests/helpers/in_double.py)."""
    return [*torchrun(processes), "tests/helpers/in_double.py", script, *arguments]

"""Entry points import this module first, before PyTorch loads its OpenMP library.

Threads of OpenMP wait for each other at the end of every layer. By default they spin, which is the fastest on
an idle machine: a step of a small network takes half the time of one with passive waiting. On a machine that
does something else too, spinning threads take the cores from those that they wait for. The library reads the
policy from the environment when it is loaded: ``OMP_WAIT_POLICY`` (all libraries; with ``passive``, GNU's of
PyTorch's own packages does not spin), and ``KMP_BLOCKTIME`` (LLVM's and Intel's, of conda's packages).
"""
from __future__ import annotations

import os
import sys

from .cores import idle_cores, usable_cores

_POLICY = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # variables by which the user decides
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_ROUNDING = 0.3  # of a core that may be busy and still counts as idle


def chosen_threads() -> tuple[int | None, float | None]:
    """Choose the number of threads by the cores that are idle, and the policy of waiting.

    Returns:
        The number of threads and that of idle cores; (None, None) if the environment, the system, or a
        PyTorch that is loaded already decides.
    """
    if "torch" in sys.modules or any(name in os.environ for name in _THREADS):
        return None, None
    idle = idle_cores()
    if idle is None:
        return None, None
    threads = max(1, int(idle + _ROUNDING))
    if threads < usable_cores() and not any(name in os.environ for name in _CHOICES):
        os.environ.update(_POLICY)
    return threads, idle


_threads, _idle = chosen_threads()
default_threads: int | None = None  # PyTorch's own default, once use_threads was called


def use_threads(requested: int | None) -> None:
    """Set the number of PyTorch's CPU threads, and print how it was chosen.

    Args:
        requested: the value of ``--threads``; None uses the idle cores of the start.
    """
    import torch

    global default_threads
    default_threads = default_threads or torch.get_num_threads()
    if requested:
        torch.set_num_threads(requested)
        print(f"CPU threads: {requested} (--threads)")
    elif _threads is not None and _idle is not None:
        threads = min(_threads, default_threads)  # which is the number of cores without hyper-threading
        torch.set_num_threads(threads)
        print(f"CPU threads: {threads}, as {_idle:.1f} of {usable_cores()} cores are idle (--threads N "
              "decides)")

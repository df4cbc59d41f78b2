"""What all entry points share: one-line error messages, exit statuses, and the random generators."""
from __future__ import annotations

import os
import random
import shlex
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from compression.runtime import distributed
from compression.runtime.text import printable

_ROOT = Path(__file__).resolve().parents[1]
_PYTHON_FORMAT = warnings.formatwarning
# packages that an upstream checkout may lack -> their names in the registry
PACKAGES = {name: name for name in ("dominate", "matplotlib", "scipy", "torchmetrics", "tqdm")}
# phrases by which errors report a lack of memory: on a GPU, on a CPU, or of a data loader's worker that was
# killed for it
_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "killed by signal: Killed",
                 "insufficient shared memory")
# phrases by which errors report that the connection to another process is lost
_LOST_WORDS = ("closed by peer", "reset by peer", "Broken pipe", "NCCL", "Socket Timeout",
               "Connection refused")


def run_main(main: Callable[[], object]) -> None:
    """Run an entry point and turn its errors into exit statuses.

    Wrong input, a full disk and a lack of memory end the process with one line on stderr and exit status 2,
    an interrupt (Ctrl-C) with exit status 130. Errors of the program itself keep their traceback.
    """
    warnings.formatwarning = format_warning
    try:
        with distributed.process_group(), only_rank_zero_prints():
            main()
    except distributed.ProcessLost:
        sys.exit(2)  # the process that failed has printed the error
    except (ValueError, FloatingPointError, OSError) as error:
        fail(one_line(error))
    except (MemoryError, RuntimeError) as error:
        if any(words in str(error) for words in _LOST_WORDS):
            fail(f"another process of the job has ended ({one_line(error)[:200]})")
        if not is_lack_of_memory(error):
            raise
        fail(f"out of memory ({one_line(error)[:200] or type(error).__name__}); what was saved before is "
             "intact. To use less memory: a smaller --batch_size (with --accumulate for the same steps), "
             "--amp bf16, a smaller --crop_size or fewer --num_threads")
    except ModuleNotFoundError as error:
        if not is_missing_package(error):
            raise
        fail(missing_package(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def format_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int,
                   line: str | None = None) -> str:
    """Format a warning of this code as one line, as all messages are; those of other packages as usual."""
    ours = Path(filename).is_relative_to(_ROOT) and "site-packages" not in filename
    if category is UserWarning and ours:
        return f"warning: {printable(str(message))}\n"
    return _PYTHON_FORMAT(message, category, filename, lineno, line)


@contextmanager
def only_rank_zero_prints() -> Iterator[None]:
    """Discard the stdout of all processes except rank 0; every process still writes to stderr."""
    with ExitStack() as stack:
        if distributed.rank():
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
        yield


def fail(message: str) -> NoReturn:
    """Print one line on stderr and end the process with exit status 2."""
    print(f"error: {printable(message, 4000)}", file=sys.stderr)
    sys.exit(2)


def is_missing_package(error: ModuleNotFoundError) -> bool:
    """Return whether a package of requirements.txt is missing, and not a module of this code."""
    return (error.name or "").partition(".")[0] in PACKAGES


def missing_package(error: ModuleNotFoundError) -> str:
    """Name the package that is missing, and how to install it."""
    package = (error.name or "").partition(".")[0]
    return f"this command needs the package {package}: pip install {PACKAGES[package]}"


def is_lack_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of a device or of the machine is exhausted."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _MEMORY_WORDS)


def continue_command(opt: Namespace, script: str) -> str:
    """Return the command line that continues an interrupted run."""
    folder_flags = []
    if opt.checkpoints_dir != "./checkpoints":
        folder_flags = ["--checkpoints_dir", opt.checkpoints_dir]
    return shlex.join(["python", script, "--name", opt.name, *folder_flags, "--continue_train"])


def one_line(error: BaseException) -> str:
    """Return the message of an error as one line.

    An error that a data loader's worker passed on contains the worker's traceback; only its last line is
    kept.
    """
    text = str(error).strip()
    if "Original Traceback" in text:
        last_line = text.splitlines()[-1]
        text = last_line.partition(": ")[2] or last_line
    return " ".join(text.split())


def batched(items: Sequence, size: int) -> list[Sequence]:
    """Split a sequence into consecutive parts of `size` items; the last part may be shorter."""
    return [items[i:i + size] for i in range(0, len(items), size)]


def seed_everything(seed: int) -> None:
    """Seed the global random generators of Python, NumPy and PyTorch (CPU and all GPUs)."""
    random.seed(seed)
    np.random.seed(seed % 2 ** 32)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """Return the state of all global random generators as tensors and plain data."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    state = {"python": [version, list(words), gauss],
             "numpy": [kind, keys.tolist(), position, has_gauss, cached],
             "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore the state that :func:`rng_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextmanager
def kept_rng() -> Iterator[None]:
    """Restore the state of all global random generators at the end of the block."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)

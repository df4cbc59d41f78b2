"""What every entry point shares: seeds, and errors of the user told in one line."""
import os
import random
import shlex
import sys
from contextlib import ExitStack, contextmanager, redirect_stdout

import numpy as np
import torch

from compression.runtime import distributed

# what the errors of a lack of memory have in their messages: on a GPU, on a CPU, a loader's process that was ended for it
_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "killed by signal: Killed",
                 "insufficient shared memory")
_LOST_WORDS = ("closed by peer", "reset by peer", "Broken pipe", "NCCL", "Socket Timeout", "Connection refused")


def run_main(main):
    """Run an entry point: wrong input ends it with one line on stderr and exit status 2, an interrupt with 130."""
    try:
        with distributed.process_group(), the_first_prints():
            main()
    except distributed.ProcessLost:
        sys.exit(2)  # the one that failed has said why
    except (ValueError, FloatingPointError, OSError) as error:
        fail(one_line(error))
    except (MemoryError, RuntimeError) as error:
        if any(words in str(error) for words in _LOST_WORDS):
            fail(f"another process of the job is gone ({one_line(error)[:200]})")
        if not is_lack_of_memory(error):
            raise
        fail(f"out of memory ({one_line(error)[:200] or type(error).__name__}); what was saved before is intact. A smaller "
             "--batch_size (with --accumulate for the same steps), --amp bf16, a smaller --crop_size or fewer --num_threads "
             "need less")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


@contextmanager
def the_first_prints():
    """Of several processes only the first prints to stdout; errors all tell."""
    with ExitStack() as stack:
        if distributed.rank():
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
        yield


def fail(message):
    """End the process with one line on stderr and exit status 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def is_lack_of_memory(error):
    """Whether an error says that memory is exhausted, of a device or of the machine."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _MEMORY_WORDS)


def continue_command(opt, script):
    """What a user types to continue an interrupted run."""
    at = [] if opt.checkpoints_dir == "./checkpoints" else ["--checkpoints_dir", opt.checkpoints_dir]
    return shlex.join(["python", script, "--name", opt.name, *at, "--continue_train"])


def one_line(error):
    """The message of an error; of one that a loader's worker passed on, without the worker's traceback."""
    text = str(error).strip()
    if "Original Traceback" in text:
        text = text.splitlines()[-1].partition(": ")[2] or text.splitlines()[-1]
    return " ".join(text.split())


def seed_everything(seed):
    """Seed python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2 ** 32)
    torch.manual_seed(seed)


def rng_state():
    """The state of every global random generator, as tensors and plain data."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    state = {"python": [version, list(words), gauss], "numpy": [kind, keys.tolist(), position, has_gauss, cached],
             "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()  # of this process's GPU
    return state


def set_rng_state(state):
    """The inverse of :func:`rng_state`."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextmanager
def kept_rng():
    """After the block, the global random generators stand where they stood before."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)

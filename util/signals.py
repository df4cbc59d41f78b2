"""Stop a run after a save: preemptible machines send SIGTERM, users press Ctrl-C (SIGINT)."""
from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from compression.runtime import distributed
from compression.runtime.text import printable

_LAST_SECONDS = 30  # the time that a data loader's worker survives a SIGTERM to its process group


class StopSignals:
    """Record the first SIGTERM or SIGINT within a ``with`` block; a second one ends the process at once.

    Under torchrun a second one is ignored.

    Attributes:
        received: the signal, or None.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous_handlers: dict = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # other threads must not set handlers
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores signals
                    self._previous_handlers[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        # torchrun passes on a signal that these processes may have received, too, and kills them after 30 s
        repeated = signal.SIG_IGN if "TORCHELASTIC_RUN_ID" in os.environ else signal.SIG_DFL
        for handled in self._previous_handlers:
            signal.signal(handled, repeated)
        if hasattr(signal, "SIGCHLD"):  # a worker that dies of the same signal must not break this step
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def synchronize(self) -> None:
        """Share a signal that one process of the job has received with all of them."""
        number = int(distributed.all_reduce_max(self.received or 0))
        self.received = signal.Signals(number) if number else None

    def exit_if_received(self, message: str) -> None:
        """If a signal was received, print `message` and exit with status 128 plus the signal's number."""
        if self.received:
            print(f"stopped by {self.received.name}: {printable(message)}", flush=True)
            raise SystemExit(128 + self.received)


def outlive_the_group() -> None:
    """Let a data loader's worker survive the signal that its process group receives.

    The main process finishes the current step before it stops, and still needs the worker's data.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(_LAST_SECONDS))

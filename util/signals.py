"""Stopping politely: pre-emptible machines send SIGTERM, users press Ctrl-C."""
import signal
import threading

from compression.runtime import distributed

_LAST_SECONDS = 30  # that a loader's process outlives the SIGTERM of its whole group


class StopSignals:
    """From ``with`` to its end, the first SIGTERM or SIGINT is only noted; a second one ends the process at once.

    Attributes:
        received: the signal, or None.
    """

    def __init__(self):
        self.received, self._before = None, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # no other thread may set handlers
            numbers = [n for n in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(n) is not signal.SIG_IGN]  # nohup
            self._before = {number: signal.signal(number, self._receive) for number in numbers}
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number, frame):
        self.received = signal.Signals(number)
        for n in self._before:
            signal.signal(n, signal.SIG_DFL)
        if hasattr(signal, "SIGCHLD"):  # a loader's process that dies of the same signal must not break the step
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def share(self):
        """Every process of the job learns of a signal that one of them has received."""
        number = int(distributed.all_reduce_max(self.received or 0))
        self.received = signal.Signals(number) if number else None

    def leave(self, message):
        """If a signal was received, print what happened and end with exit status 128 + its number."""
        if self.received:
            print(f"stopped by {self.received.name}: {message}", flush=True)
            raise SystemExit(128 + self.received)


def outlive_the_group():
    """In a loader's process: go on when the whole group is told to stop, so that the step under way gets its data."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(_LAST_SECONDS))

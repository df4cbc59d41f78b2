"""Types of argparse for numbers with a range: ``add_argument("--ngf", type=integer(1, 4096))``.

A flag declares its range where it is added. argparse names the flag in front of the message, and
``options/precedence.py`` uses the same type for values that are read from files.
"""
from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

from .text import printable

LARGEST = 10 ** 9  # of an integer without another limit


@dataclass(frozen=True)
class Number:
    """Parse a number and check its range.

    Attributes:
        kind: ``int`` or ``float``.
        at_least: the smallest accepted number, or None.
        above: a limit that is not accepted itself, or None.
        at_most: the largest accepted number, or None.
        below: a limit that is not accepted itself, or None.
        infinite: whether ``inf`` is accepted.
    """

    kind: type[int] | type[float]
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    infinite: bool = False

    def __call__(self, text: str) -> int | float:
        """Parse `text`.

        Raises:
            argparse.ArgumentTypeError: if it is not a number of this kind, or outside the range.
        """
        try:
            value = self.kind(text)
        except (ValueError, OverflowError):
            value = math.nan
        if not self.accepts(value):
            raise argparse.ArgumentTypeError(f"must be {self}, got {printable(text, 40)}")
        return value

    def accepts(self, value: float) -> bool:
        """Return whether a number is in the range; NaN never is."""
        if value in (math.inf, -math.inf):  # math.isinf fails for large integers
            return self.infinite and value > 0
        return (value == value  # False for NaN
                and (self.at_least is None or value >= self.at_least)
                and (self.above is None or value > self.above)
                and (self.at_most is None or value <= self.at_most)
                and (self.below is None or value < self.below))

    def __str__(self) -> str:
        noun = "an integer" if self.kind is int else "a number"
        if self.kind is int and self.at_least is not None and self.at_most is not None:
            return f"{noun} from {self.at_least} to {self.at_most}"
        limits = {"of at least": self.at_least, "above": self.above, "at most": self.at_most,
                  "below": self.below}
        parts = [f"{words} {limit:g}" for words, limit in limits.items() if limit is not None]
        return " ".join([noun, " and ".join(parts)]) + (", or inf" if self.infinite else "")


def integer(at_least: int, at_most: int = LARGEST) -> Number:
    """Return the type of an integer in [`at_least`, `at_most`]."""
    return Number(int, at_least=at_least, at_most=at_most)


def number(at_least: float | None = None, above: float | None = None, at_most: float | None = None,
           below: float | None = None, infinite: bool = False) -> Number:
    """Return the type of a floating-point number in a range; without `infinite` it is finite."""
    return Number(float, at_least, above, at_most, below, infinite)


SEED = integer(0, 10 ** 12)  # torch takes 64 bits, of which seeds of epochs and processes need twenty
SIDE = integer(1, 16384)  # in pixels; Pillow does not decode larger images
ASPECT_RATIO = number(0.01, at_most=100)

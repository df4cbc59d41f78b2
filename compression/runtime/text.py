"""Text of messages."""
from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


def name_some(names: Iterable[object], limit: int = 3, separator: str = ", ") -> str:
    """Join the first `limit` names for a message and count the others: ``"a, b, c and 4 more"``."""
    names = list(names)
    shown = separator.join(printable(name) for name in names[:limit])
    if len(names) > limit:
        return f"{shown} and {len(names) - limit} more"
    return shown


def unknown(what: str, value: str, known: Iterable[str]) -> str:
    """Say that a value is unknown, which ones are known, and which of them is similar.

    Args:
        what: what has the value, such as ``"--norm batc"``.
        value: the value.
        known: the known values.
    """
    known = list(known)
    return f"{printable(what, 100)} is unknown, known: {', '.join(known)}{did_you_mean(value, known)}"


def did_you_mean(value: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Suggest the known value that is most similar, as the end of a message; empty if none is.

    Args:
        value: the value, which may be mistyped.
        known: the known values.
        cutoff: the least similarity, from 0 to 1.
    """
    known = {name.lower(): name for name in known}
    similar = difflib.get_close_matches(str(value).lower(), known, n=1, cutoff=cutoff)
    return f"; did you mean {printable(known[similar[0]])}?" if similar else ""


def giga(count: float) -> str:
    """Format a count in units of 10^9 with three decimals, a small one with three significant digits."""
    value = count / 1e9
    return f"{value:.3f}" if value >= 0.1 or not value else f"{value:.3g}"


def printable(text: object, limit: int | None = None) -> str:
    """Escape the control characters of a text from outside, such as a file name, for terminal, log, or page.

    Escape codes and characters that reorder a line would otherwise change what a terminal shows. Bytes of a
    name that are not UTF-8 cannot be printed at all.

    Args:
        text: any object; its ``str`` is used.
        limit: the maximum number of characters, or None; the rest of a longer text becomes ``...``.
    """
    text = str(text)
    if not text.isprintable():
        text = "".join(_escaped(character) for character in text)
    return text if limit is None or len(text) <= limit else text[:limit] + "..."


def _escaped(character: str) -> str:
    """Escape a character without a glyph: a control, a format, a lone surrogate, or a line separator."""
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character

"""Text of messages."""
from __future__ import annotations

from collections.abc import Iterable


def name_some(names: Iterable[object], limit: int = 3, separator: str = ", ") -> str:
    """Join the first `limit` names for a message and count the others: ``"a, b, c and 4 more"``."""
    names = list(names)
    shown = separator.join(str(name) for name in names[:limit])
    if len(names) > limit:
        return f"{shown} and {len(names) - limit} more"
    return shown

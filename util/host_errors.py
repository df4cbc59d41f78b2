"""Report the plugin's errors in an upstream checkout as in this repository: one line and exit status 2."""
import json
import sys
import traceback
from pathlib import Path

from .entry import fail, one_line

_RECORD = ".ugc_plugin.json"  # written by scripts/install_plugin.py


def report_own_errors(root):
    """Print errors of the user that the plugin's files raise as one line; others keep their traceback.

    Args:
        root: folder of the checkout.
    """
    previous = sys.excepthook

    def report(kind, error, trace):
        if issubclass(kind, (ValueError, FloatingPointError)) and raised_by_plugin(root, trace):
            fail(one_line(error))
        previous(kind, error, trace)

    sys.excepthook = report


def raised_by_plugin(root, trace):
    """Return whether the innermost function of a traceback is in a file that was installed."""
    try:
        files = json.loads((root / _RECORD).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return False
    innermost = Path(traceback.extract_tb(trace)[-1].filename).resolve()
    return innermost.is_relative_to(root) and innermost.relative_to(root).as_posix() in files

"""Report the plugin's errors in an upstream checkout as in this repository: one line and exit status 2."""
import re
import sys
import traceback
from pathlib import Path

from compression.checkpoints import read_json

from .entry import fail, one_line

_RECORD = ".ugc_plugin.json"  # written by scripts/install_plugin.py


def report_own_errors(root):
    """Print errors of the user that the plugin's files raise as one line; others keep their traceback.

    Args:
        root: folder of the checkout.
    """
    previous = sys.excepthook

    def report(kind, error, trace):
        if issubclass(kind, (ValueError, FloatingPointError)) and raised_by_plugin(root, error, trace):
            fail(one_line(error))
        previous(kind, error, trace)

    sys.excepthook = report


def raised_by_plugin(root, error, trace):
    """Return whether the innermost function of a traceback is in a file that was installed.

    An error of a data loader's worker contains the worker's traceback as text.
    """
    try:
        files = read_json(root / _RECORD).get("files")
    except (OSError, ValueError):
        return False
    if not isinstance(files, dict):
        return False
    frames = [frame.filename for frame in traceback.extract_tb(trace)]
    if "Original Traceback" in str(error):
        frames += re.findall(r'File "([^"]+)"', str(error))
    innermost = Path(frames[-1]).resolve()
    return innermost.is_relative_to(root) and innermost.relative_to(root).as_posix() in files

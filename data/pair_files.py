"""Write the folders of image pairs that the scripts in datasets/ prepare."""
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from PIL import Image


def side_by_side(left, right):
    """Paste two RGB images of equal size into one of twice the width."""
    width, height = left.size
    pair = Image.new("RGB", (2 * width, height))
    pair.paste(left, (0, 0))
    pair.paste(right, (width, 0))
    return pair


def require_new_folders(out, names):
    """Check that the folders can be created.

    Args:
        out: the output folder.
        names: names of the folders in it.

    Raises:
        ValueError: if `out` is a file, or a folder exists.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; choose a folder")
    existing = [str(out / name) for name in names if (out / name).exists()]
    if existing:
        raise ValueError(f"{', '.join(existing)}: already exists; delete it or choose another --out")


@contextmanager
def complete_folders(out):
    """Create folders in `out` that appear only when they are complete.

    The ``with`` block writes the folders into the temporary folder that it receives. If it ends without an
    error, they are moved to `out`.
    """
    out.mkdir(parents=True, exist_ok=True)
    # on the same disk, so that moving is renaming
    temporary = Path(tempfile.mkdtemp(prefix=".prepare_", dir=out))
    try:
        yield temporary
        for folder in sorted(temporary.iterdir()):
            folder.rename(out / folder.name)
    finally:
        shutil.rmtree(temporary)

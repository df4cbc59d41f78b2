"""The worked example of a family of one's own takes part in every test that goes over the family table.

So does any file put into compression/generators/: it is registered when `compression` is imported. Tests run on the CPU, also
where there are GPUs; tests/test_gpu.py is told of these by UGC_TEST_GPUS.
"""
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

os.environ.setdefault("UGC_TEST_GPUS", os.environ.get("CUDA_VISIBLE_DEVICES", "all"))  # of several test processes the first knows
os.environ["CUDA_VISIBLE_DEVICES"] = ""

from compression.families import FAMILIES  # noqa: E402

if "resize_unet" not in FAMILIES:  # it is, where it was copied into compression/generators/
    import resize_unet  # noqa: F401

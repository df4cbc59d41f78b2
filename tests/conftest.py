"""Shared by all tests: which package is `compression`, the device, and a generator family of a user's.

The example family of docs/own_generator.md takes part in every test that goes over the family table; so does any file
put into compression/generators/. Tests run on the CPU, also on machines with GPUs; tests/cli/test_gpu.py reads from
UGC_TEST_GPUS which ones there are.
"""
import os
import sys

# Python 3.14: pytest has imported the standard library's package of this name; ours comes first on the path and finds
# the modules of the standard one too
sys.modules.pop("compression", None)

# several test processes: the first one sets it, the others inherit it
os.environ.setdefault("UGC_TEST_GPUS", os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
os.environ["CUDA_VISIBLE_DEVICES"] = ""

from compression.elastic.registry import FAMILIES  # noqa: E402

if "resize_unet" not in FAMILIES:  # unless it was copied into compression/generators/
    import resize_unet  # noqa: F401

"""Set up all tests: the package `compression`, the device, and the example of a user's generator family.

The example family of docs/own_generator.md takes part in every test over the table of families; so does any
file added to compression/generators/. Tests run on the CPU, also on machines with GPUs; tests/cli/test_gpu.py
reads from UGC_TEST_GPUS which GPUs exist. Weights in torch hub's folder change what commands do by default,
so tests use an empty one; tests of real weights read UGC_TEST_TORCH_HOME.
"""
import os
import sys
from pathlib import Path

# Python 3.14: pytest has already imported the standard library's package of this name. Ours comes first on
# the path and also finds the modules of the standard one.
sys.modules.pop("compression", None)

# with several test processes, the first one sets it and the others inherit it
os.environ.setdefault("UGC_TEST_GPUS", os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
os.environ["CUDA_VISIBLE_DEVICES"] = ""

from compression.elastic.registry import FAMILIES  # noqa: E402

torch_home = os.environ.get("TORCH_HOME", str(Path("~/.cache/torch").expanduser()))
os.environ.setdefault("UGC_TEST_TORCH_HOME", torch_home)
os.environ["TORCH_HOME"] = str(Path(__file__).parent / "no_weights")

if "resize_unet" not in FAMILIES:  # unless it was copied into compression/generators/
    import resize_unet  # noqa: F401

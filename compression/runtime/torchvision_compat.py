"""Makes torchvision importable beside a CPU-only torch.

The registry's torchvision wheel is linked against CUDA; where its C++ operators cannot be loaded, its import stops at
"operator torchvision::nms does not exist". Declaring the schemas of the two operators it registers fakes for is enough:
neither is used here.
"""
from __future__ import annotations

import torch

_SCHEMAS = {"nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"}
_libraries = []  # a library's declarations live as long as it does


def import_torchvision():
    """Import torchvision, declaring its missing operators first if its own cannot be loaded."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        import sys

        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name, schema in _SCHEMAS.items():
            if not hasattr(torch.ops.torchvision, name):
                library = torch.library.Library("torchvision", "FRAGMENT")
                library.define(schema)
                _libraries.append(library)
        import torchvision
    return torchvision

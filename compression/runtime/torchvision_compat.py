"""Import of torchvision with a CPU-only torch.

PyPI's torchvision wheel is linked against CUDA. Where its C++ operators cannot be loaded, the import fails
with "operator torchvision::nms does not exist". It succeeds if the schemas of the two operators are declared
for which torchvision registers fake implementations. This project uses neither of them.
"""
from __future__ import annotations

import sys
from types import ModuleType

import torch

_SCHEMAS = {"nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"}
_libraries: list[torch.library.Library] = []  # the declarations last as long as their library object


def import_torchvision() -> ModuleType:
    """Import torchvision; declare its missing operators first if its own cannot be loaded."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name, schema in _SCHEMAS.items():
            if not hasattr(torch.ops.torchvision, name):
                library = torch.library.Library("torchvision", "FRAGMENT")
                library.define(schema)
                _libraries.append(library)
        import torchvision
    return torchvision

"""A compact segmentation network, trained once on real photos and labels, for data sets without a published one."""
from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints import build_and_load, load_file, save_atomic
from ..runtime.torchvision_compat import import_torchvision

SEGMENTER_FORMAT = "ugc-segmenter-1"
FEATURES = 256


class Segmenter(nn.Module):
    """LR-ASPP (Howard et al., ICCV 2019) on the first three stages of a ResNet-18: 2.9 M parameters.

    Args:
        classes: how many.

    Attributes:
        meta: plain data about its training: `size` (height, width) of its photos, `void` (the class id that does not
            count, or None), `names` of the classes, `photos` and `mIoU` on real photos it was not trained on.
    """

    def __init__(self, classes: int):
        super().__init__()
        import_torchvision()
        from torchvision.models import resnet18
        from torchvision.models.feature_extraction import create_feature_extractor
        from torchvision.models.segmentation.lraspp import LRASPPHead

        self.classes, self.meta = classes, {}
        self.backbone = create_feature_extractor(resnet18(weights=None), {"layer1": "low", "layer3": "high"})
        self.classifier = LRASPPHead(64, FEATURES, classes, 128)

    def forward(self, photo: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in [0, 1] -> scores (N, classes, H, W)."""
        found = self.classifier(self.backbone(photo * 2 - 1))
        return F.interpolate(found, size=photo.shape[-2:], mode="bilinear", align_corners=False)

    def features(self, photo: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in [0, 1] -> (N, 256): means of its last activations."""
        return self.backbone(photo * 2 - 1)["high"].mean((2, 3))


def save_segmenter(path: str | Path, net: Segmenter) -> None:
    """Write a segmenter with its meta data."""
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    save_atomic({"format": SEGMENTER_FORMAT, "classes": net.classes, "meta": net.meta, "state_dict": state}, path)


def load_segmenter(path: str | Path) -> Segmenter:
    """Read a segmenter, in eval mode on the CPU.

    Raises:
        ValueError: if the file is missing or no segmenter.
    """
    saved = load_file(path)
    if not isinstance(saved, dict) or saved.get("format") != SEGMENTER_FORMAT:
        raise ValueError(f"{path}: is no segmenter of this project; train one with train.py --model segmenter")
    try:
        classes, state, meta = int(saved["classes"]), saved["state_dict"], dict(saved["meta"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the segmenter file is damaged ({error})") from None
    net = build_and_load(lambda: Segmenter(classes), state, path)
    net.meta = meta
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # half as long again in the other layout

"""A compact segmentation network for data sets without a published one; it is trained on real photos."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints import build_and_load, load_file, save_atomic
from ..checkpoints.records import Limits, Size, read_record
from ..runtime.torchvision_compat import import_torchvision

SEGMENTER_FORMAT = "ugc-segmenter-1"
FEATURES = 256


@dataclass
class SegmenterMeta:
    """The data about the training of a segmenter, in its file; see :class:`Segmenter`."""

    size: Size | None = None
    void: Annotated[int, Limits(0, 65535)] | None = None
    cityscapes: bool = False
    photos: str = ""
    mIoU: float | None = None
    phase: str | None = None


@dataclass
class SegmenterFile:
    """The entries of the file of a segmenter."""

    classes: Annotated[int, Limits(1, 65536)]
    meta: SegmenterMeta
    state_dict: dict[str, Tensor]


class Segmenter(nn.Module):
    """LR-ASPP (Howard et al., ICCV 2019) on the first three stages of a ResNet-18: 2.9 M parameters.

    Args:
        classes: number of classes.

    Attributes:
        meta: plain data about the training: `size` (height, width) of the photos, `void` (the ignored class
            id, or None), `cityscapes` (whether the classes are the train ids of Cityscapes), `photos` (their
            folder), and `mIoU` on the held-out real photos of `phase`.
    """

    meta: dict[str, Any]

    def __init__(self, classes: int):
        super().__init__()
        import_torchvision()
        from torchvision.models import resnet18
        from torchvision.models.feature_extraction import create_feature_extractor
        from torchvision.models.segmentation.lraspp import LRASPPHead

        self.classes = classes
        self.meta = {}
        self.backbone = create_feature_extractor(resnet18(weights=None), {"layer1": "low", "layer3": "high"})
        self.classifier = LRASPPHead(64, FEATURES, classes, 128)

    def forward(self, photo: Tensor) -> Tensor:
        """Compute class scores (N, classes, H, W) of photos (N, 3, H, W) in [0, 1]."""
        scores = self.classifier(self.backbone(photo * 2 - 1))
        return F.interpolate(scores, size=photo.shape[-2:], mode="bilinear", align_corners=False)

    def features(self, photo: Tensor) -> Tensor:
        """Compute features (N, 256) of photos (N, 3, H, W) in [0, 1]: spatial means of the last stage."""
        return self.backbone(photo * 2 - 1)["high"].mean((2, 3))


def save_segmenter(path: str | Path, net: Segmenter, run: str | None = None) -> None:
    """Save a segmenter with its meta data; `run` is the identifier of the run that writes the file."""
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    content = {"format": SEGMENTER_FORMAT, "classes": net.classes, "meta": net.meta, "state_dict": state}
    save_atomic(content, path, run)


def load_segmenter(path: str | Path) -> Segmenter:
    """Load a segmenter in eval mode on the CPU.

    Raises:
        ValueError: if the file is missing or not a segmenter, or an entry has another type or range.
    """
    saved = load_file(path)
    if not isinstance(saved, dict) or saved.get("format") != SEGMENTER_FORMAT:
        raise ValueError(f"{path}: is not a segmenter of this project; train one with train.py --model "
                         "segmenter")
    record = read_record(SegmenterFile, saved, path)
    net = build_and_load(lambda: Segmenter(record.classes), record.state_dict, path)
    net.meta = dict(saved["meta"])
    net.eval().requires_grad_(False)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster
    return net

"""Mean intersection over union and pixel accuracy of label maps (the field's protocol for label-to-photo tasks)."""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

VOID = 255  # of a target: the pixel does not count
# Cityscapes: label id -> train id; every other id is void
CITYSCAPES = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14,
              28: 15, 31: 16, 32: 17, 33: 18}
CITYSCAPES_NAMES = ("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
                    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
                    "bicycle")


def train_ids(ids: np.ndarray) -> np.ndarray:
    """Cityscapes' 34 label ids (-1 to 33; 34 for unknown) -> its 19 train ids, 255 for void."""
    table = np.full(256, VOID, dtype=np.int64)
    table[list(CITYSCAPES)] = list(CITYSCAPES.values())
    return table[np.asarray(ids).astype(np.int64) % 256]


class SegmentationScores:
    """Confusion of predicted and true classes over all images.

    A class's IoU is its intersection over its union with the predictions, both counted over all images and where the
    target is not void; mIoU is the mean over the classes that occur in either.
    """

    def __init__(self, classes: int):
        self.classes = classes
        self.confusion = torch.zeros(classes, classes, dtype=torch.long)

    @torch.no_grad()
    def update(self, scores: Tensor, target: Tensor) -> None:
        """Add class scores (N, classes, h, w) and targets (N, H, W) of class ids, 255 for void.

        The scores are resized to the targets (bilinear) before the best class is taken.

        Raises:
            ValueError: if a target holds another id.
        """
        from ..runtime.torchvision_compat import import_torchvision
        import_torchvision()  # torchmetrics imports it
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        wrong = target[(target != VOID) & ((target < 0) | (target >= self.classes))]
        if wrong.numel():
            raise ValueError(f"class id {int(wrong[0])} in a label map, wanted 0 to {self.classes - 1}, or {VOID} for void")
        if scores.shape[-2:] != target.shape[-2:]:
            scores = F.interpolate(scores.float(), size=target.shape[-2:], mode="bilinear", align_corners=False)
        self.confusion += multiclass_confusion_matrix(scores.argmax(1).cpu(), target.cpu().long(), self.classes,
                                                      ignore_index=VOID, validate_args=False)  # checked above

    def compute(self) -> dict[str, float]:
        """``{"mIoU", "pixel_accuracy"}`` in percent; ValueError if no pixel counts."""
        if not self.confusion.sum():
            raise ValueError("no labeled pixel to score: every target is void")
        iou = self.per_class()
        return {"mIoU": 100 * float(np.nanmean(iou)),
                "pixel_accuracy": 100 * float(self.confusion.trace() / self.confusion.sum())}

    def per_class(self) -> np.ndarray:
        """IoU in [0, 1] of every class, NaN where it occurs in neither."""
        confusion = self.confusion.numpy().astype(np.float64)
        hit = np.diag(confusion)
        union = confusion.sum(0) + confusion.sum(1) - hit
        return np.divide(hit, union, out=np.full(self.classes, np.nan), where=union > 0)

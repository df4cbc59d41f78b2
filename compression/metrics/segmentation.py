"""Mean intersection over union and pixel accuracy, the metrics of label-to-photo tasks."""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..runtime.torchvision_compat import import_torchvision

VOID = 255  # class id of target pixels that are ignored
# Cityscapes: label id -> train id; all other ids are void
CITYSCAPES = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12,
              26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
CITYSCAPES_NAMES = ("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
                    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
                    "motorcycle", "bicycle")


def train_ids(ids: np.ndarray) -> np.ndarray:
    """Convert Cityscapes' label ids (-1 to 33; 34 for unknown) to its 19 train ids and 255 for void."""
    table = np.full(256, VOID, dtype=np.int64)
    table[list(CITYSCAPES)] = list(CITYSCAPES.values())
    return table[np.asarray(ids).astype(np.int64) % 256]


class SegmentationScores:
    """Accumulates the confusion matrix of predicted and true classes over images.

    With n_ij the number of pixels of class i that are predicted as class j, over all images and without void:

        IoU_i = n_ii / (sum_j n_ij + sum_j n_ji - n_ii),    pixel accuracy = sum_i n_ii / sum_ij n_ij

    mIoU is the mean over the classes that occur in targets or predictions.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int):
        self.classes = classes
        self.confusion = torch.zeros(classes, classes, dtype=torch.long)

    @torch.no_grad()
    def update(self, scores: Tensor, target: Tensor) -> None:
        """Add predictions and their targets.

        Args:
            scores: class scores (N, classes, h, w). They are resized to the targets (bilinear) before the
                class with the highest score is taken.
            target: class ids (N, H, W), 255 for void.

        Raises:
            ValueError: if a target contains another id.
        """
        import_torchvision()  # before torchmetrics imports it
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        invalid = target[(target != VOID) & ((target < 0) | (target >= self.classes))]
        if invalid.numel():
            raise ValueError(f"class id {int(invalid[0])} in a label map, expected 0 to "
                             f"{self.classes - 1}, or {VOID} for void")
        if scores.shape[-2:] != target.shape[-2:]:
            scores = F.interpolate(scores.float(), size=target.shape[-2:], mode="bilinear",
                                   align_corners=False)
        self.confusion += multiclass_confusion_matrix(
            scores.argmax(1).cpu(), target.cpu().long(), self.classes, ignore_index=VOID, validate_args=False)

    def compute(self) -> dict[str, float]:
        """Compute ``{"mIoU", "pixel_accuracy"}`` in percent.

        Raises:
            ValueError: if all pixels are void.
        """
        if not self.confusion.sum():
            raise ValueError("no labeled pixel to score: every target is void")
        return {"mIoU": 100 * float(np.nanmean(self.per_class())),
                "pixel_accuracy": 100 * float(self.confusion.trace() / self.confusion.sum())}

    def per_class(self) -> np.ndarray:
        """Compute the IoU (classes,) in [0, 1]; NaN for classes that do not occur."""
        confusion = self.confusion.numpy().astype(np.float64)
        intersection = np.diag(confusion)
        union = confusion.sum(0) + confusion.sum(1) - intersection
        return np.divide(intersection, union, out=np.full(self.classes, np.nan), where=union > 0)

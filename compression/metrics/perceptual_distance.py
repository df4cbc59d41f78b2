"""LPIPS (Zhang et al., CVPR 2018), if the weights of AlexNet are on disk."""
from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..runtime.torchvision_compat import import_torchvision

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"  # torchvision's ImageNet weights


def find_alexnet() -> Path | None:
    """Return the path of AlexNet's weights in torch's hub folder, or None."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET_FILE
    return path if path.is_file() else None


class PerceptualDistance:
    """LPIPS with AlexNet and the linear layers that torchmetrics contains; nothing is downloaded.

    Raises:
        ValueError: if AlexNet's weights are not on disk.
    """

    def __init__(self, device: torch.device):
        if find_alexnet() is None:
            raise ValueError(f"torchvision's AlexNet weights {ALEXNET_FILE} are not in {torch.hub.get_dir()}"
                             "/checkpoints (https://download.pytorch.org/models/" + ALEXNET_FILE + ")")
        import_torchvision()  # before torchmetrics imports it
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        self.network = LearnedPerceptualImagePatchSimilarity(net_type="alex", reduction="sum").to(device)

    @torch.no_grad()
    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """Compute the distances (N,) between images and ground truths (N, 3, H, W) in [-1, 1]."""
        distances = [self.network(a[None], b[None]) for a, b in zip(image, target, strict=True)]
        return torch.stack(distances).reshape(-1).cpu()

"""LPIPS (Zhang et al., CVPR 2018), if the weights of AlexNet are on disk."""
from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints.weights import checked_weights, load_file
from ..runtime.torchvision_compat import import_torchvision

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"  # torchvision's ImageNet weights

MISSING_ALEXNET = (f"torchvision's AlexNet weights {ALEXNET_FILE} are not in torch hub's folder checkpoints/ "
                   f"(https://download.pytorch.org/models/{ALEXNET_FILE})")


def find_alexnet() -> Path | None:
    """Return the path of AlexNet's weights in torch's hub folder, or None."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET_FILE
    return path if path.is_file() else None


class PerceptualDistance:
    """LPIPS with AlexNet and the linear layers that torchmetrics contains; nothing is downloaded.

    Raises:
        ValueError: if AlexNet's weights are not on disk, or the file holds something else.
    """

    def __init__(self, device: torch.device):
        path = find_alexnet()
        if path is None:
            raise ValueError(MISSING_ALEXNET)
        import_torchvision()  # before torchmetrics imports it
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        checked_weights(load_file(path), path)  # torchvision would run code in the file
        try:
            network = LearnedPerceptualImagePatchSimilarity(net_type="alex", reduction="sum")
        except (LookupError, RuntimeError):
            raise ValueError(f"{path}: holds no torchvision AlexNet state dict") from None
        self.network = network.to(device)

    @torch.no_grad()
    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """Compute the distances (N,) between images and ground truths (N, 3, H, W) in [-1, 1]."""
        distances = [self.network(a[None], b[None]) for a, b in zip(image, target, strict=True)]
        return torch.stack(distances).reshape(-1).cpu()

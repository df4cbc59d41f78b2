"""The Inception-v3 of FID: torchvision's layers with the pooling of the TensorFlow network of 2015."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints import load_state_dict_file, load_strictly
from ..runtime.torchvision_compat import import_torchvision

INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"  # the name ends with the start of its SHA-256
INCEPTION_URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{INCEPTION_FILE}"
_AVERAGE_POOLED = ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e",
                   "Mixed_7b")


class FIDInception(nn.Module):
    """The feature network of FID (Heusel et al., NeurIPS 2017).

    The network of 2015 differs from torchvision's: it has 1008 classes, its average pooling excludes the
    padding, and its last block uses max pooling (as in the PyTorch port that publishes the weights). Images
    are resized to 299x299 (bilinear, no anti-aliasing).

    Args:
        weights: file of the weights; None keeps the initialization.

    Raises:
        ValueError: if the file contains another network.
    """

    resize = "299x299 bilinear, not anti-aliased"

    def __init__(self, weights: str | Path | None = None):
        super().__init__()
        models = import_torchvision().models
        self.net = models.inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False,
                                       transform_input=False)
        for name in _AVERAGE_POOLED:
            _replace_pooling(getattr(self.net, name),
                             lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        _replace_pooling(self.net.Mixed_7c, lambda x: F.max_pool2d(x, 3, 1, 1))
        if weights is not None:
            load_strictly(self.net, load_state_dict_file(weights), weights)
        self.net.fc = nn.Identity()
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the features (N, 2048) of images (N, 3, H, W) in [0, 1]."""
        resized = F.interpolate(image, size=(299, 299), mode="bilinear", align_corners=False)
        return self.net(resized * 2 - 1)


def _replace_pooling(block: nn.Module, pool: Callable[[Tensor], Tensor]) -> None:
    """Replace the average pooling of a block's pooling branch by `pool`.

    torchvision calls a pooling function, not a module. So a hook gives the convolution after it the pooled
    input of the block instead.
    """
    inputs: list[Tensor] = []
    convolution = block.get_submodule("branch_pool")
    block.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    convolution.register_forward_pre_hook(lambda _, args: pool(inputs.pop()))

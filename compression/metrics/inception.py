"""Inception-v3 as FID wants it: torchvision's layers, the pools of the TensorFlow network of 2015."""
from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints import load_state_dict_file, load_strictly
from ..runtime.torchvision_compat import import_torchvision

INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"  # the end of the name is the start of its SHA-256
INCEPTION_URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{INCEPTION_FILE}"
_AVERAGE_POOLED = ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b")


class FIDInception(nn.Module):
    """Images (N, 3, H, W) in [0, 1] -> (N, 2048) features.

    They are resized to 299x299 (bilinear, no anti-aliasing). The 2015 network differs from torchvision's in 1008
    classes, in average pools that leave out the padding, and in a max pool in its last block (Heusel et al., NeurIPS
    2017, and its PyTorch port).

    Raises:
        ValueError: if the file is no such state dict.
    """

    resize = "299x299 bilinear, not anti-aliased"

    def __init__(self, weights: str | Path | None = None):
        super().__init__()
        models = import_torchvision().models
        self.net = models.inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False,
                                       transform_input=False)
        for name in _AVERAGE_POOLED:
            _replace_pool(getattr(self.net, name), lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        _replace_pool(self.net.Mixed_7c, lambda x: F.max_pool2d(x, 3, 1, 1))
        if weights is not None:
            load_strictly(self.net, load_state_dict_file(weights), weights)
        self.net.fc = nn.Identity()
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        return self.net(F.interpolate(image, size=(299, 299), mode="bilinear", align_corners=False) * 2 - 1)


def _replace_pool(block: nn.Module, pool) -> None:
    """Let the pooling branch's convolution see `pool` of the block's input instead of torchvision's average."""
    seen: list[Tensor] = []
    block.register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0]))
    block.branch_pool.register_forward_pre_hook(lambda conv, inputs: pool(seen.pop()))

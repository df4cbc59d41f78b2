"""The features phi in which images are compared: VGG-16's, or those of the teachers' discriminator."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from .checkpoints import load_file
from .torchvision_compat import import_torchvision

KINDS = ("auto", "vgg16", "discriminator", "none")
VGG16_FILE = "vgg16-397923af.pth"  # torchvision's ImageNet weights
_VGG16_ENDS = (4, 9, 16, 23)  # relu1_2, relu2_2, relu3_3, relu4_3


class VGG16Features(nn.Module):
    """relu1_2, relu2_2, relu3_3 and relu4_3 of torchvision's VGG-16 (Johnson et al., ECCV 2016)."""

    name = "vgg16"

    def __init__(self, weights: str | Path):
        super().__init__()
        net = import_torchvision().models.vgg16()
        state = load_file(weights)
        try:
            net.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError):
            raise ValueError(f"--vgg_weights {weights}: holds no torchvision VGG-16 state dict") from None
        ends = (0, *_VGG16_ENDS)
        self.stages = nn.ModuleList(net.features[a:b] for a, b in zip(ends, ends[1:])).eval().requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """(N, 1 or 3, H, W) in [-1, 1] -> four activations; `condition` is not looked at."""
        x = (image.expand(-1, 3, -1, -1) * 0.5 + 0.5 - self.mean) / self.std
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


def unit_length(activations: list[Tensor]) -> list[Tensor]:
    """Activations (N, C, h, w) -> the same with the channels of every position scaled to length 1, in float32."""
    return [a.float() / a.float().square().sum(1, keepdim=True).add(1e-10).sqrt() for a in activations]


class DiscriminatorFeatures:
    """The activations that a conditional discriminator has of an image beside its input, at unit length.

    A discriminator's activations have any scale, and grow while it trains; at unit length (as in LPIPS, CVPR 2018)
    the weights that were chosen for VGG's features keep the terms in balance.
    """

    name = "discriminator"

    def __init__(self, features: Callable[[Tensor, Tensor], list[Tensor]]):
        self.features = features

    def __call__(self, image: Tensor, condition: Tensor) -> list[Tensor]:
        """Images and their inputs, (N, C, H, W) each -> the trunk's activations at unit length."""
        return unit_length(self.features(image, condition))


class NoFeatures:
    """No feature and style terms."""

    name = "none"

    def __call__(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """Nothing."""
        return []


def build_feature_extractor(kind: str, weights: str | Path | None,
                            discriminator_features: Callable[[Tensor, Tensor], list[Tensor]]):
    """The feature extractor of ``--perceptual``; its `name` says what was chosen.

    Args:
        kind: vgg16 (ImageNet weights from `weights` or torch's hub folder, never downloaded), discriminator, none, or
            auto: vgg16 where its weights are on disk, else discriminator.
        weights: file of ``--vgg_weights``, or None.
        discriminator_features: (image, condition) -> activations.

    Raises:
        ValueError: unknown kind, or vgg16 without its weights.
    """
    if kind not in KINDS:
        raise ValueError(f"--perceptual {kind} is unknown, known: {', '.join(KINDS)}")
    cached = Path(torch.hub.get_dir()) / "checkpoints" / VGG16_FILE
    path = Path(weights) if weights else cached
    if kind == "none":
        return NoFeatures()
    if kind == "vgg16" or weights or (kind == "auto" and path.is_file()):
        if not path.is_file():
            raise ValueError(f"--perceptual vgg16 needs torchvision's weights {VGG16_FILE}, not found: {path}; put "
                             f"the file there or name it with --vgg_weights, or use --perceptual discriminator")
        return VGG16Features(path)
    return DiscriminatorFeatures(discriminator_features)

"""The perceptual loss of Pix2PixHD and SPADE, in VGG-19 or, without its weights, in HED."""
from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn

from .hed import HED_KEYWORD, HED_NAME, hed_path, load_hed
from .vgg import VGG19_FILE, load_stages, weights_path

_VGG19_ENDS = (2, 7, 12, 21, 30)  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
_HED_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


class PerceptualLoss(nn.Module):
    """The perceptual loss of Pix2PixHD and SPADE.

        sum_l w_l |V_l(fake) - sg V_l(real)|_1,    w = 1/32, 1/16, 1/8, 1/4, 1,

    where V_l is relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 of a VGG network, and |.|_1 the mean absolute
    value.

    Attributes:
        name: what is printed.
    """

    name: str
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    @abstractmethod
    def activations(self, image: Tensor) -> list[Tensor]:
        """Compute V_l of images (N, 3, H, W) in [-1, 1], for each layer l."""

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Compute the loss, a scalar, of images (N, 3, H, W) in [-1, 1]; `real` receives no gradients."""
        with torch.no_grad():
            targets = self.activations(real)
        total = fake.new_zeros(())
        for activation, target, weight in zip(self.activations(fake), targets, self.weights, strict=True):
            total = total + weight * (activation.float() - target.float()).abs().mean()
        return total


class VGG19Loss(PerceptualLoss):
    """The perceptual loss in VGG-19. As in upstream's code, its input is in [-1, 1], without ImageNet's
    normalization.

    Args:
        weights: file of torchvision's state dict.

    Raises:
        ValueError: the file holds another state dict.
    """

    name = "VGG-19"

    def __init__(self, weights: str | Path):
        super().__init__()
        self.stages = load_stages("vgg19", weights, _VGG19_ENDS, "--vgg19_weights")

    def activations(self, image: Tensor) -> list[Tensor]:
        activations = []
        for stage in self.stages:
            image = stage(image)
            activations.append(image)
        return activations


class HEDLoss(PerceptualLoss):
    """The perceptual loss in the VGG-16 of HED, whose layers have unit scale.

    Raises:
        ValueError: the weights are missing or those of another network.
    """

    name = HED_NAME

    def __init__(self) -> None:
        super().__init__()
        self.network = load_hed(f"--vgg19_weights {HED_KEYWORD}")

    def activations(self, image: Tensor) -> list[Tensor]:
        return self.network(image, _HED_TAPS)


def default_vgg19_weights() -> str | None:
    """Return the default of ``--vgg19_weights``: ``hed`` if HED's weights are on disk and VGG-19's not."""
    has_vgg19 = weights_path(None, VGG19_FILE).is_file()
    return HED_KEYWORD if hed_path().is_file() and not has_vgg19 else None


def build_perceptual_loss(weights: str | Path | None) -> PerceptualLoss | None:
    """Build the perceptual loss of the originals from weights on disk.

    Args:
        weights: value of ``--vgg19_weights``: a file, ``hed``, or None for the file in torch hub's folder,
            which is never downloaded.

    Returns:
        The loss, or None if `weights` is None and that file is missing.

    Raises:
        ValueError: the file `weights`, or that of HED, does not exist.
    """
    if weights == HED_KEYWORD:
        return HEDLoss()
    path = weights_path(weights, VGG19_FILE)
    if weights and not path.is_file():
        raise ValueError(f"--vgg19_weights {path}: no such file; torchvision's weights are {VGG19_FILE}, and "
                         f"{HED_KEYWORD} selects the network of scripts/fetch_hed.py")
    return VGG19Loss(path) if path.is_file() else None

"""The features phi in which images are compared: VGG-16's, or those of the teachers' discriminator."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoints import load_file
from ..runtime.torchvision_compat import import_torchvision

KINDS = ("auto", "vgg16", "discriminator", "none")
_SIZE = 0.5  # root mean square of a discriminator's features
PIXEL_WEIGHT = 10.0  # of L1 between images where no ImageNet features look after color
VGG16_FILE = "vgg16-397923af.pth"  # torchvision's ImageNet weights
VGG19_FILE = "vgg19-dcbb9e9d.pth"
_VGG16_ENDS = (4, 9, 16, 23)  # relu1_2, relu2_2, relu3_3, relu4_3
_VGG19_ENDS = (2, 7, 12, 21, 30)  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1


def _stages(kind: str, weights: str | Path, ends: tuple[int, ...], flag: str) -> nn.ModuleList:
    """A frozen torchvision VGG cut after the layers `ends`.

    Raises:
        ValueError: if the file holds no state dict of that network; the message names `flag`.
    """
    with torch.device("meta"):
        features = getattr(import_torchvision().models, kind)().features  # nine tenths of a VGG are its classifier
    try:
        state = {key.removeprefix("features."): value for key, value in load_file(weights).items() if key.startswith("features.")}
        features.load_state_dict(state, assign=True)
    except (RuntimeError, TypeError, AttributeError):
        raise ValueError(f"{flag} {weights}: holds no torchvision VGG-{kind[3:]} state dict") from None
    stages = nn.ModuleList(features[a:b] for a, b in zip((0, *ends), ends)).eval().requires_grad_(False)
    for module in stages.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return stages


def _cached(weights: str | Path | None, name: str) -> Path:
    return Path(weights) if weights else Path(torch.hub.get_dir()) / "checkpoints" / name


class VGG16Features(nn.Module):
    """relu1_2, relu2_2, relu3_3 and relu4_3 of torchvision's VGG-16 (Johnson et al., ECCV 2016)."""

    name, pixel = "vgg16", 0.0

    def __init__(self, weights: str | Path):
        super().__init__()
        self.stages = _stages("vgg16", weights, _VGG16_ENDS, "--vgg_weights")
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


class VGG19Loss(nn.Module):
    """The perceptual distance of Pix2PixHD and SPADE: L1 between relu1_1, 2_1, 3_1, 4_1 and 5_1 of VGG-19, weighted
    1/32, 1/16, 1/8, 1/4 and 1. As upstream, images go in as they are, in [-1, 1]."""

    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    def __init__(self, weights: str | Path):
        super().__init__()
        self.stages = _stages("vgg19", weights, _VGG19_ENDS, "--vgg19_weights")

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] -> a scalar; `real` receives no gradients."""
        total = fake.new_zeros(())
        with torch.no_grad():
            targets = [real]
            for stage in self.stages:
                targets.append(stage(targets[-1]))
        for stage, target, weight in zip(self.stages, targets[1:], self.weights):
            fake = stage(fake)
            total = total + weight * (fake.float() - target.float()).abs().mean()
        return total


def build_vgg_loss(weights: str | Path | None) -> VGG19Loss | None:
    """The perceptual term of the originals, from `weights` (``--vgg19_weights``) or torch's hub folder, never
    downloaded; None where there are none.

    Raises:
        ValueError: if `weights` is given and not there.
    """
    path = _cached(weights, VGG19_FILE)
    if weights and not path.is_file():
        raise ValueError(f"--vgg19_weights {path}: no such file; torchvision's weights are {VGG19_FILE}")
    return VGG19Loss(path) if path.is_file() else None


def rms_normalize(activations: list[Tensor]) -> list[Tensor]:
    """Activations (N, C, h, w) -> the same with the channels of every position scaled to a root mean square of a half, in
    float32."""
    return [_SIZE * a.float() / a.float().square().mean(1, keepdim=True).add(1e-10).sqrt() for a in activations]


class DiscriminatorFeatures:
    """The activations that a conditional discriminator has of an image beside its input, at one size.

    A discriminator's activations have any scale, and grow while it trains; scaled at every position (as in LPIPS, CVPR
    2018) they do not. The size brings the feature and style terms, with the weights that were chosen for VGG's, to about
    the SSIM term's. Color and brightness are hardly seen in them.
    """

    name, pixel = "discriminator", PIXEL_WEIGHT

    def __init__(self, features: Callable[[Tensor, Tensor], list[Tensor]]):
        self.features = features

    def __call__(self, image: Tensor, condition: Tensor) -> list[Tensor]:
        """Images and their inputs, (N, C, H, W) each -> the trunk's activations at one size."""
        return rms_normalize(self.features(image, condition))


class NoFeatures:
    """No feature and style terms."""

    name, pixel = "none", PIXEL_WEIGHT

    def __call__(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """Nothing."""
        return []


def build_feature_extractor(kind: str, weights: str | Path | None,
                            discriminator_features: Callable[[Tensor, Tensor], list[Tensor]]):
    """The feature extractor of ``--perceptual``; its `name` says what was chosen, `pixel` is the weight that the images
    themselves need beside it.

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
    path = _cached(weights, VGG16_FILE)
    if kind == "none":
        return NoFeatures()
    if kind == "vgg16" or weights or (kind == "auto" and path.is_file()):
        if not path.is_file():
            raise ValueError(f"--perceptual vgg16 needs torchvision's weights {VGG16_FILE}, not found: {path}; put "
                             f"the file there or name it with --vgg_weights, or use --perceptual discriminator")
        return VGG16Features(path)
    return DiscriminatorFeatures(discriminator_features)

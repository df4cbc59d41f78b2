"""The features phi in which images are compared: of VGG-16 (or VGG-19), or of the teachers' discriminator."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoints import checked_weights, load_file
from ..runtime.text import unknown
from ..runtime.torchvision_compat import import_torchvision
from .fake_labels import FakeLabels

KINDS = ("auto", "vgg16", "discriminator", "none")
PIXEL_WEIGHT = 10.0  # default of lambda_pixel for features that are insensitive to color
VGG16_FILE = "vgg16-397923af.pth"  # torchvision's ImageNet weights
VGG19_FILE = "vgg19-dcbb9e9d.pth"
_RMS = 0.5  # root mean square of normalized features
_VGG16_ENDS = (4, 9, 16, 23)  # relu1_2, relu2_2, relu3_3, relu4_3
_VGG19_ENDS = (2, 7, 12, 21, 30)  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1


class FeatureExtractor(nn.Module):
    """Base class of the feature extractors phi for the distillation losses.

    Attributes:
        name: what is printed and stored with the student.
        terms: names of the loss terms that compare features.
        pixel_weight: default of lambda_pixel, the weight of the L1 loss between the images.
    """

    name: str
    terms: tuple[str, ...] = ("feature", "style")
    pixel_weight = PIXEL_WEIGHT

    @abstractmethod
    def forward(self, image: Tensor, condition: Tensor) -> list[Tensor]:
        """Compute the features of images.

        Args:
            image: (N, 1 or 3, H, W) in [-1, 1].
            condition: generator inputs z that belong to the images, (N, C, H, W).

        Returns:
            phi_l(image) for each layer l, (N, C_l, H_l, W_l).
        """

    def teacher_features(self, labels: FakeLabels, condition: Tensor) -> list[Tensor]:
        """Compute the features phi_l(T_k) of a teacher's fake labels.

        Args:
            labels: fake labels for N inputs.
            condition: the inputs z, (N, C, H, W).
        """
        return self(labels.images, condition)


class VGG16Features(FeatureExtractor):
    """relu1_2, relu2_2, relu3_3 and relu4_3 of torchvision's VGG-16 (Johnson et al., ECCV 2016).

    Args:
        weights: file of torchvision's state dict.

    Raises:
        ValueError: the file holds another state dict.
    """

    name = "vgg16"
    pixel_weight = 0.0
    mean: Tensor
    std: Tensor

    def __init__(self, weights: str | Path):
        super().__init__()
        self.stages = _load_stages("vgg16", weights, _VGG16_ENDS, "--vgg_weights")
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """Compute the four activations of images (N, 1 or 3, H, W) in [-1, 1]; `condition` is not used."""
        x = (image.expand(-1, 3, -1, -1) * 0.5 + 0.5 - self.mean) / self.std
        activations = []
        for stage in self.stages:
            x = stage(x)
            activations.append(x)
        return activations


class DiscriminatorFeatures(FeatureExtractor):
    """Normalized activations of the trunk of a conditional discriminator.

    The activations of a discriminator have an arbitrary scale that grows during training, so they are
    normalized at every position (as in LPIPS, CVPR 2018). With a root mean square of 0.5, the feature and
    style terms are about as large as the SSIM term under the weights that were chosen for VGG-16. These
    features are insensitive to color and brightness.

    Args:
        trunk: (images, inputs) -> list of activations of the trunk.
    """

    name = "discriminator"

    def __init__(self, trunk: Callable[[Tensor, Tensor], list[Tensor]]):
        super().__init__()
        self.trunk = trunk

    def forward(self, image: Tensor, condition: Tensor) -> list[Tensor]:
        """Compute the normalized activations of images together with their inputs."""
        return rms_normalize(self.trunk(image, condition))

    def teacher_features(self, labels: FakeLabels, condition: Tensor) -> list[Tensor]:
        """Normalize the activations in `labels`, which the discriminator has computed already."""
        return rms_normalize(flatten_scales([layers[:-1] for layers in labels.prediction]))


class NoFeatures(FeatureExtractor):
    """No features, and therefore no feature and style terms."""

    name = "none"
    terms = ()

    def forward(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """Return no features."""
        return []


def build_feature_extractor(kind: str, weights: str | Path | None,
                            trunk: Callable[[Tensor, Tensor], list[Tensor]]) -> FeatureExtractor:
    """Build the feature extractor of ``--perceptual``.

    Args:
        kind: vgg16 (ImageNet weights from `weights` or torch hub's folder, never downloaded),
            discriminator, none, or auto: vgg16 if its weights are on disk, otherwise discriminator.
        weights: file of ``--vgg_weights``, or None.
        trunk: (images, inputs) -> list of activations of the discriminator's trunk.

    Raises:
        ValueError: `kind` is unknown, or the weights of vgg16 are missing.
    """
    if kind not in KINDS:
        raise ValueError(unknown(f"--perceptual {kind}", kind, KINDS))
    path = _weights_path(weights, VGG16_FILE)
    if kind == "none":
        return NoFeatures()
    if kind == "vgg16" or weights or (kind == "auto" and path.is_file()):
        if not path.is_file():
            raise ValueError(f"--perceptual vgg16 needs torchvision's weights {VGG16_FILE}, not found: "
                             f"{path}; put the file there or name it with --vgg_weights, or use "
                             "--perceptual discriminator")
        return VGG16Features(path)
    return DiscriminatorFeatures(trunk)


class VGG19Loss(nn.Module):
    """The perceptual loss of Pix2PixHD and SPADE.

        sum_l w_l |V_l(fake) - sg V_l(real)|_1,    w = 1/32, 1/16, 1/8, 1/4, 1,

    where V_l is relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 of VGG-19, and |.|_1 the mean absolute
    value. As in upstream's code, the input of VGG-19 is in [-1, 1], without ImageNet's normalization.

    Args:
        weights: file of torchvision's state dict.

    Raises:
        ValueError: the file holds another state dict.
    """

    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    def __init__(self, weights: str | Path):
        super().__init__()
        self.stages = _load_stages("vgg19", weights, _VGG19_ENDS, "--vgg19_weights")

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Compute the loss, a scalar, of images (N, 3, H, W) in [-1, 1]; `real` receives no gradients."""
        targets = []
        with torch.no_grad():
            for stage in self.stages:
                real = stage(real)
                targets.append(real)
        total = fake.new_zeros(())
        for stage, target, weight in zip(self.stages, targets, self.weights, strict=True):
            fake = stage(fake)
            total = total + weight * (fake.float() - target.float()).abs().mean()
        return total


def build_vgg_loss(weights: str | Path | None) -> VGG19Loss | None:
    """Build the perceptual loss of the originals from weights on disk.

    Args:
        weights: file of ``--vgg19_weights``; None is the file in torch hub's folder, which is never
            downloaded.

    Returns:
        The loss, or None if there are no weights.

    Raises:
        ValueError: the file `weights` does not exist.
    """
    path = _weights_path(weights, VGG19_FILE)
    if weights and not path.is_file():
        raise ValueError(f"--vgg19_weights {path}: no such file; torchvision's weights are {VGG19_FILE}")
    return VGG19Loss(path) if path.is_file() else None


def rms_normalize(activations: Sequence[Tensor]) -> list[Tensor]:
    """Normalize activations at every position over the channels, in float32.

        phi_chw = 0.5 a_chw / sqrt(1/C sum_c a_chw^2 + 1e-10)

    Args:
        activations: a for each layer, (N, C, H, W).
    """
    normalized = []
    for activation in activations:
        mean_square = activation.float().square().mean(1, keepdim=True)
        normalized.append(_RMS * activation.float() / mean_square.add(1e-10).sqrt())
    return normalized


def flatten_scales(scales: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Flatten activations of scales and layers into one list."""
    return [activation for layers in scales for activation in layers]


def _weights_path(weights: str | Path | None, name: str) -> Path:
    """Return the path `weights`, or by default that of the file `name` in torch hub's folder."""
    return Path(weights) if weights else Path(torch.hub.get_dir()) / "checkpoints" / name


def _load_stages(kind: str, weights: str | Path, ends: tuple[int, ...], flag: str) -> nn.ModuleList:
    """Load the convolutions of a torchvision VGG, frozen and split after the layers `ends`.

    Raises:
        ValueError: the file holds no state dict of this network; the message names `flag`.
    """
    with torch.device("meta"):
        features = getattr(import_torchvision().models, kind)().features  # without the large classifier
    content = load_file(weights)
    state = {}
    if isinstance(content, Mapping):
        state = {key.removeprefix("features."): value for key, value in content.items()
                 if str(key).startswith("features.")}
    if not state:
        raise ValueError(f"{flag} {weights}: holds no torchvision VGG-{kind[3:]} state dict")
    try:
        features.load_state_dict(checked_weights(state, f"{flag} {weights}"), assign=True)
    except RuntimeError:
        raise ValueError(f"{flag} {weights}: holds no torchvision VGG-{kind[3:]} state dict") from None
    starts = (0, *ends[:-1])
    stages = nn.ModuleList(features[start:end] for start, end in zip(starts, ends, strict=True))
    for module in stages.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return stages.eval().requires_grad_(False)

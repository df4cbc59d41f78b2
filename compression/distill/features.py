"""The features phi in which images are compared: of VGG-16, of HED, or of the teachers' discriminator."""
from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..runtime.text import unknown
from .fake_labels import FakeLabels
from .functions import RMSNormalize
from .hed import HED_NAME, load_hed
from .vgg import VGG16_FILE, load_stages, weights_path

HED_AREA = 0.25  # default of --perceptual_area for the features of HED
_RMS = 0.5  # root mean square of normalized features
_VGG16_ENDS = (4, 9, 16, 23)  # relu1_2, relu2_2, relu3_3, relu4_3
_HED_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
_WINDOW_STEP = 16  # sides of windows are multiples of it, in pixels: the size of a position of relu5

Window = tuple[slice, slice]  # rows and columns


class FeatureExtractor(nn.Module):
    """Base class of the feature extractors phi for the distillation losses.

    Attributes:
        name: what is printed and stored with the student.
        terms: names of the loss terms that compare features.
        pixel_weight: default of lambda_pixel, the weight of the L1 loss between the images.
        uses_discriminator: whether the features are those of the discriminator.
    """

    name: str
    terms: tuple[str, ...] = ("feature", "style")
    pixel_weight = 10.0
    uses_discriminator = False

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

    def compare(self, images: Tensor, labels: Mapping[str, FakeLabels], condition: Tensor
                ) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
        """Compute the features of the student's images and of every teacher's fake labels.

        Args:
            images: S, (N, C, H, W) in [-1, 1].
            labels: name of the teacher -> fake labels for the same inputs.
            condition: the inputs z, (N, C', H, W).

        Returns:
            phi_l(S), and name of the teacher -> phi_l(T_k), for each layer l.
        """
        targets = {name: self.teacher_features(label, condition) for name, label in labels.items()}
        return self(images, condition), targets


class NetworkFeatures(FeatureExtractor):
    """Base class of the features of a frozen network that sees images only.

    The cost is proportional to the number of pixels, so that images can be compared in random windows: one
    window per image, at the same place in the images of student and teachers.

    Args:
        area: share of an image's area that is compared, above 0 and at most 1.
    """

    pixel_weight = 0.0

    def __init__(self, area: float = 1.0):
        super().__init__()
        self.area = area

    def compare(self, images: Tensor, labels: Mapping[str, FakeLabels], condition: Tensor
                ) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
        """Compute the features of the same windows of the student's images and of the fake labels."""
        if self.area == 1:
            return super().compare(images, labels, condition)
        windows = random_windows(images.shape, self.area)
        targets = {}
        with torch.no_grad():
            for name, label in labels.items():
                targets[name] = self(cut_windows(label.images, windows), condition)
        return self(cut_windows(images, windows), condition), targets


class VGG16Features(NetworkFeatures):
    """relu1_2, relu2_2, relu3_3 and relu4_3 of torchvision's VGG-16 (Johnson et al., ECCV 2016).

    Args:
        weights: file of torchvision's state dict.
        area: as in :class:`NetworkFeatures`.

    Raises:
        ValueError: the file holds another state dict.
    """

    name = "vgg16"
    mean: Tensor
    std: Tensor

    def __init__(self, weights: str | Path, area: float = 1.0):
        super().__init__(area)
        self.stages = load_stages("vgg16", weights, _VGG16_ENDS, "--vgg_weights")
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


class HEDFeatures(NetworkFeatures):
    """relu1_2, relu2_2, relu3_3 and relu4_3 of HED, at unit scale (:class:`.hed.HED`).

    Args:
        area: as in :class:`NetworkFeatures`.

    Raises:
        ValueError: the weights are missing or those of another network.
    """

    name = HED_NAME

    def __init__(self, area: float = HED_AREA):
        super().__init__(area)
        # a fifth faster in bf16 on a CPU, also where the generators have another layout
        network = load_hed("--perceptual hed")
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """Compute the four activations of images (N, 1 or 3, H, W) in [-1, 1]; `condition` is not used."""
        return self.network(image, _HED_TAPS)


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
    uses_discriminator = True

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


FEATURES: dict[str, type[FeatureExtractor]] = {
    "vgg16": VGG16Features, "hed": HEDFeatures, "discriminator": DiscriminatorFeatures, "none": NoFeatures}
KINDS = ("auto", *FEATURES)  # of --perceptual


def choose_features(kind: str, weights: str | Path | None, channels: int = 3) -> str:
    """Return the features that ``--perceptual`` selects, a name in ``FEATURES``.

    Args:
        kind: one of ``KINDS``; auto is vgg16 if its weights are on disk, and otherwise discriminator.
        weights: file of ``--vgg_weights``, or None.
        channels: of the images; those of the two channels of colorization are compared in the discriminator.
    """
    if kind != "auto":
        return kind
    has_weights = weights or weights_path(None, VGG16_FILE).is_file()
    return "vgg16" if channels != 2 and has_weights else "discriminator"


def build_feature_extractor(kind: str, weights: str | Path | None,
                            trunk: Callable[[Tensor, Tensor], list[Tensor]],
                            area: float | None = None) -> FeatureExtractor:
    """Build the feature extractor of ``--perceptual``.

    Args:
        kind: as in :func:`choose_features`. The weights of vgg16 come from `weights` or torch hub's folder,
            those of hed from torch hub's folder; nothing is downloaded.
        weights: file of ``--vgg_weights``, or None.
        trunk: (images, inputs) -> list of activations of the discriminator's trunk.
        area: share of an image's area that is compared; None is 0.25 for hed and 1 for vgg16.

    Raises:
        ValueError: `kind` is unknown, the weights of vgg16 or hed are missing, or `weights` or `area` is
            given for features that do not use it.
    """
    if kind not in KINDS:
        raise ValueError(unknown(f"--perceptual {kind}", kind, KINDS))
    kind = choose_features(kind, weights)
    if weights and kind != "vgg16":
        raise ValueError(f"--vgg_weights {weights} is for --perceptual vgg16, got --perceptual {kind}")
    if area is not None and kind not in ("vgg16", "hed"):
        raise ValueError(f"--perceptual_area {area:g} is for --perceptual vgg16 and hed, got --perceptual "
                         f"{kind}")
    if kind == "hed":
        return HEDFeatures(HED_AREA if area is None else area)
    if kind == "vgg16":
        path = weights_path(weights, VGG16_FILE)
        if not path.is_file():
            raise ValueError(f"--perceptual vgg16 needs torchvision's weights {VGG16_FILE}, not found: "
                             f"{path}; put the file there or name it with --vgg_weights, or use "
                             "--perceptual discriminator")
        return VGG16Features(path, 1.0 if area is None else area)
    return NoFeatures() if kind == "none" else DiscriminatorFeatures(trunk)


def random_windows(shape: Sequence[int], area: float) -> list[Window]:
    """Draw a window for every image from torch's generator of the CPU.

    Args:
        shape: N, C, H, W of the images.
        area: share of H x W. The sides of the windows have the ratio of the images' sides, rounded to
            multiples of 16 pixels, at least 16, and at most those of the images.

    Returns:
        Rows and columns of each of the N windows.
    """
    sides = []
    for side in shape[-2:]:
        rounded = _WINDOW_STEP * max(1, round(math.sqrt(area) * side / _WINDOW_STEP))
        sides.append(min(side, rounded))
    windows = []
    for _ in range(shape[0]):
        starts = [0 if side == whole else int(torch.randint(whole - side + 1, ()))
                  for side, whole in zip(sides, shape[-2:], strict=True)]
        rows, columns = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
        windows.append((rows, columns))
    return windows


def cut_windows(images: Tensor, windows: Sequence[Window]) -> Tensor:
    """Cut a window out of every image, (N, C, H, W) -> (N, C, h, w)."""
    return torch.stack([image[:, rows, columns]
                        for image, (rows, columns) in zip(images, windows, strict=True)])


def rms_normalize(activations: Sequence[Tensor]) -> list[Tensor]:
    """Normalize activations at every position over the channels, in float32.

        phi_chw = 0.5 a_chw / sqrt(1/C sum_c a_chw^2 + 1e-10)

    Args:
        activations: a for each layer, (N, C, H, W).
    """
    return [RMSNormalize.apply(activation, _RMS) for activation in activations]


def flatten_scales(scales: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Flatten activations of scales and layers into one list."""
    return [activation for layers in scales for activation in layers]

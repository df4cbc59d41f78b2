"""Adversarial objectives of the originals."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GAN_MODES = ("vanilla", "lsgan", "wgangp", "hinge")
DiscriminatorOutput = Sequence[Sequence[Tensor]]


def gan_loss(prediction: Tensor, real: bool, mode: str, for_discriminator: bool = True) -> Tensor:
    """Mean loss of logits (any shape) that should say real (or fake).

    vanilla: cross entropy (Goodfellow et al., 2014); lsgan: squared distance to 1 or 0 (Mao et al., 2017); wgangp:
    the signed mean (Gulrajani et al., 2017); hinge: as in SPADE, where the generator's side is the signed mean.

    Raises:
        ValueError: unknown `mode`.
    """
    prediction = prediction.float()
    if mode == "vanilla":
        return F.binary_cross_entropy_with_logits(prediction, torch.full_like(prediction, float(real)))
    if mode == "lsgan":
        return ((prediction - float(real)) ** 2).mean()
    if mode == "wgangp" or (mode == "hinge" and not for_discriminator):
        return -prediction.mean() if real else prediction.mean()
    if mode == "hinge":
        return F.relu(1 - prediction).mean() if real else F.relu(1 + prediction).mean()
    raise ValueError(f"--gan_mode {mode} is unknown, known: {', '.join(GAN_MODES)}")


class Objective(nn.Module):
    """What an original is trained by.

    A discriminator's judgment is a list over scales, full resolution first, of lists over layers: activations
    (N, C, h, w), the prediction (N, 1, h, w) last.

    Attributes:
        settings: names of the constructor's arguments, which are flags of the command line.
        terms: names of the generator's losses.
    """

    settings: tuple[str, ...] = ("gan_mode",)
    terms: tuple[str, ...] = ("GAN",)
    average_scales = True  # else their losses are summed

    def __init__(self, gan_mode: str):
        super().__init__()
        if gan_mode not in GAN_MODES:
            raise ValueError(f"--gan_mode {gan_mode} is unknown, known: {', '.join(GAN_MODES)}")
        self.gan_mode = gan_mode

    def _gan(self, pred_fake: DiscriminatorOutput, real: bool, for_discriminator: bool) -> Tensor:
        losses = [gan_loss(layers[-1], real, self.gan_mode, for_discriminator) for layers in pred_fake]
        return sum(losses) / (len(losses) if self.average_scales else 1)

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> dict[str, Tensor]:
        """Judgements of real and of (detached) fake pairs -> ``{"D_real", "D_fake"}``; train on half their sum."""
        return {"D_real": self._gan(real, True, True), "D_fake": self._gan(fake, False, True)}

    def generator(self, pred_fake: DiscriminatorOutput, fake: Tensor, real: Tensor, pred_real: DiscriminatorOutput) -> dict[str, Tensor]:
        """The generator's weighted losses, by the names of `terms`; train on their sum.

        Args:
            judged: the judgment of the fakes, on the graph.
            fake, real: images (N, C, H, W) in [-1, 1].
            judged_real: the judgment of the real images; nothing of it receives gradients.
        """
        return {"GAN": self._gan(pred_fake, True, False)}


class Pix2PixObjective(Objective):
    """Pix2Pix's objective (Isola et al., CVPR 2017): a GAN term and L1 to the ground truth.

    Args:
        gan_mode: vanilla, lsgan, wgangp or hinge.
        lambda_L1: weight of the L1 term, at least 0.
    """

    settings = ("gan_mode", "lambda_L1")
    terms = ("GAN", "L1")

    def __init__(self, gan_mode: str = "vanilla", lambda_L1: float = 100.0):
        super().__init__(gan_mode)
        if lambda_L1 < 0:
            raise ValueError(f"--lambda_L1 must be at least 0, got {lambda_L1}")
        self.lambda_L1 = lambda_L1

    def generator(self, pred_fake: DiscriminatorOutput, fake: Tensor, real: Tensor,
                  pred_real: DiscriminatorOutput = ()) -> dict[str, Tensor]:
        return {"GAN": self._gan(pred_fake, True, False), "L1": self.lambda_L1 * F.l1_loss(fake, real)}


class FeatureMatchingObjective(Objective):
    """SPADE's objective (Park et al., CVPR 2019): GAN, feature matching and perceptual terms.

    Feature matching is the L1 distance between the discriminator's activations of fake and real images, summed over
    layers and averaged over scales; the perceptual term that of VGG-19's.

    Args:
        gan_mode: vanilla, lsgan, wgangp or hinge.
        lambda_feat, lambda_vgg: weights of the two terms, at least 0.
        vgg: (fake, real) -> perceptual distance, or None for no such term.
    """

    settings = ("gan_mode", "lambda_feat", "lambda_vgg", "vgg")
    terms = ("GAN", "GAN_Feat", "VGG")

    def __init__(self, gan_mode: str = "hinge", lambda_feat: float = 10.0, lambda_vgg: float = 10.0,
                 vgg: nn.Module | None = None):
        super().__init__(gan_mode)
        for name, value in (("lambda_feat", lambda_feat), ("lambda_vgg", lambda_vgg)):
            if value < 0:
                raise ValueError(f"--{name} must be at least 0, got {value}")
        self.lambda_feat, self.lambda_vgg, self.vgg = lambda_feat, lambda_vgg, vgg
        self.terms = tuple(term for term, used in zip(self.terms, (True, lambda_feat > 0, vgg is not None)) if used)

    def layer_weight(self, layers: int) -> float:
        """The weight of each of so many matched layers."""
        return 1.0

    def generator(self, pred_fake: DiscriminatorOutput, fake: Tensor, real: Tensor, pred_real: DiscriminatorOutput) -> dict[str, Tensor]:
        losses = {"GAN": self._gan(pred_fake, True, False)}
        if "GAN_Feat" in self.terms:
            matched = [self.layer_weight(len(ours) - 1) * sum(F.l1_loss(a.float(), b.detach().float())
                                                              for a, b in zip(ours[:-1], theirs[:-1]))
                       for ours, theirs in zip(pred_fake, pred_real, strict=True)]
            losses["GAN_Feat"] = self.lambda_feat * sum(matched) / len(matched)
        if "VGG" in self.terms:
            losses["VGG"] = self.lambda_vgg * self.vgg(fake, real)
        return losses


class Pix2PixHDObjective(FeatureMatchingObjective):
    """Pix2PixHD's objective (Wang et al., CVPR 2018): as SPADE's later, with LSGAN losses summed over the scales and
    layers weighted by 4 / their number."""

    average_scales = False

    def __init__(self, gan_mode: str = "lsgan", lambda_feat: float = 10.0, lambda_vgg: float = 10.0,
                 vgg: nn.Module | None = None):
        super().__init__(gan_mode, lambda_feat, lambda_vgg, vgg)

    def layer_weight(self, layers: int) -> float:
        return 4.0 / layers

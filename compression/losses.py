"""Adversarial objectives of the originals."""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GAN_MODES = ("vanilla", "lsgan", "wgangp", "hinge")


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


class Pix2PixObjective(nn.Module):
    """Pix2Pix's objective (Isola et al., CVPR 2017): a GAN term and L1 to the ground truth.

    Args:
        gan_mode: vanilla, lsgan, wgangp or hinge.
        lambda_L1: weight of the L1 term, at least 0.
    """

    def __init__(self, gan_mode: str = "vanilla", lambda_L1: float = 100.0):
        super().__init__()
        if gan_mode not in GAN_MODES:
            raise ValueError(f"--gan_mode {gan_mode} is unknown, known: {', '.join(GAN_MODES)}")
        if lambda_L1 < 0:
            raise ValueError(f"--lambda_L1 must be at least 0, got {lambda_L1}")
        self.gan_mode, self.lambda_L1 = gan_mode, lambda_L1

    def discriminator(self, prediction_real: Tensor, prediction_fake: Tensor) -> dict[str, Tensor]:
        """Predictions on real and on (detached) fake pairs -> ``{"D_real", "D_fake"}``; train on half their sum."""
        return {"D_real": gan_loss(prediction_real, True, self.gan_mode),
                "D_fake": gan_loss(prediction_fake, False, self.gan_mode)}

    def generator(self, prediction_fake: Tensor, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The prediction on fakes, the fakes and the ground truth -> weighted ``{"GAN", "L1"}``; train on the sum."""
        return {"GAN": gan_loss(prediction_fake, True, self.gan_mode, for_discriminator=False),
                "L1": self.lambda_L1 * F.l1_loss(fake, real)}

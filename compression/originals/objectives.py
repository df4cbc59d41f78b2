"""Adversarial training objectives of the originals: Pix2Pix, Pix2PixHD and SPADE.

Notation as in docs/method.md: (x, y) is a labeled pair, G a generator, D a discriminator that takes the input
concatenated with a real or a generated image, sg stops the gradient.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..runtime.text import unknown

LAMBDA_GP = 10.0  # weight of the gradient penalty, as in upstream and in the paper of WGAN-GP
GAN_MODES = ("vanilla", "lsgan", "wgangp", "hinge")

# per scale, full resolution first: the activations of all layers; the last one is the prediction (N, 1, h, w)
DiscriminatorOutput = Sequence[Sequence[Tensor]]


def split_samples(prediction: DiscriminatorOutput,
                  count: int) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
    """Split a discriminator's output into that for the first `count` samples and that for the others."""
    first = [[layer[:count] for layer in layers] for layers in prediction]
    return first, [[layer[count:] for layer in layers] for layers in prediction]


def gan_loss(prediction: Tensor, real: bool, mode: str, for_discriminator: bool = True) -> Tensor:
    """Compute the mean GAN loss of logits d = D(x, .) toward the target "real" or "fake".

        vanilla:  real  mean(-log sigmoid(d))      fake  mean(-log(1 - sigmoid(d)))   Goodfellow et al., 2014
        lsgan:    real  mean((d - 1)^2)            fake  mean(d^2)                    Mao et al., 2017
        wgangp:   real  -mean(d)                   fake  mean(d)                      Gulrajani et al., 2017
        hinge:    real  mean(max(0, 1 - d))        fake  mean(max(0, 1 + d))          as in SPADE, 2019

    These are the losses of the discriminator. The generator minimizes the loss toward "real"; for hinge it is
    -mean(d), as in wgangp. :func:`gradient_penalty` is the other term of the discriminator for wgangp.

    Args:
        prediction: logits of any shape.
        real: the target.
        mode: one of GAN_MODES.
        for_discriminator: whether the discriminator minimizes the loss, or the generator.

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
    raise ValueError(unknown(f"--gan_mode {mode}", mode, GAN_MODES))


def gradient_penalty(discriminate: Callable[[Tensor], DiscriminatorOutput], real: Tensor,
                     fake: Tensor) -> list[Tensor]:
    """Compute the gradient penalty of WGAN-GP (Gulrajani et al., 2017) for every scale s of a discriminator,

        10 mean_n (|grad_z sum D_s(z)|_2 - 1)^2,  z = a real + (1 - a) fake,  a ~ U(0, 1) for every sample.

    As in upstream, the sum is over the patches of a sample, and the gradient is that with respect to the
    complete input of the discriminator. It is computed in float32.

    Args:
        discriminate: D, maps inputs (N, C, H, W) to the activations of every scale.
        real: real pairs (x, y), concatenated, (N, C, H, W).
        fake: generated pairs (x, G(x)), the same shape.
    """
    real, fake = real.detach().float(), fake.detach().float()
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    mixed = (share * real + (1 - share) * fake).requires_grad_()
    penalties = []
    with torch.autocast(real.device.type, enabled=False):
        for layers in discriminate(mixed):
            gradient, = torch.autograd.grad(layers[-1].sum(), mixed, create_graph=True)
            norm = (gradient.flatten(1) + 1e-16).norm(2, dim=1)  # has a gradient also where it is 0
            penalties.append(LAMBDA_GP * ((norm - 1) ** 2).mean())
    return penalties


class Objective(nn.Module):
    """Training objective of an original: the losses of its generator and of its discriminator.

    Attributes:
        settings: names of the constructor's arguments, which are command-line flags.
        terms: names of the generator's losses.
        lambda_L1: weight of the generator's L1 loss; 0 if the objective has none.
        discriminator_terms: names of the discriminator's losses.
        average_scales: whether the losses of the discriminator's scales are averaged or summed.
    """

    settings: tuple[str, ...] = ("gan_mode",)
    terms: tuple[str, ...] = ("GAN",)
    lambda_L1: float = 0.0
    average_scales = True

    def __init__(self, gan_mode: str):
        super().__init__()
        if gan_mode not in GAN_MODES:
            raise ValueError(unknown(f"--gan_mode {gan_mode}", gan_mode, GAN_MODES))
        self.gan_mode = gan_mode
        self.discriminator_terms = ("D_real", "D_fake") + (("D_gp",) if gan_mode == "wgangp" else ())

    def gan(self, prediction: DiscriminatorOutput, real: bool, for_discriminator: bool) -> Tensor:
        """Compute the GAN loss of the predictions of all scales, see :func:`gan_loss`."""
        losses = [gan_loss(layers[-1], real, self.gan_mode, for_discriminator) for layers in prediction]
        return self._over_scales(losses)

    def _over_scales(self, losses: Sequence[Tensor]) -> Tensor:
        """Compute the mean or the sum of the losses of all scales."""
        total: Tensor = sum(losses)  # type: ignore[assignment]  # there is at least one scale
        return total / len(losses) if self.average_scales else total

    def discriminator(self, pred_real: DiscriminatorOutput,
                      pred_fake: DiscriminatorOutput) -> dict[str, Tensor]:
        """Compute the discriminator's losses.

        The discriminator minimizes (D_real + D_fake) / 2, where D_real is the GAN loss of D(x, y) toward
        "real" and D_fake that of D(x, sg G(x)) toward "fake".

        Args:
            pred_real: the discriminator's output for real pairs.
            pred_fake: the discriminator's output for detached fake pairs.

        Returns:
            ``{"D_real": ..., "D_fake": ...}``.
        """
        return {"D_real": self.gan(pred_real, True, True), "D_fake": self.gan(pred_fake, False, True)}

    def penalty(self, discriminate: Callable[[Tensor], DiscriminatorOutput], real: Tensor,
                fake: Tensor) -> dict[str, Tensor]:
        """Compute the further loss of the discriminator, which is added to (D_real + D_fake) / 2.

        Args:
            discriminate, real, fake: those of :func:`gradient_penalty`.

        Returns:
            ``{"D_gp": ...}`` for ``--gan_mode wgangp``, otherwise an empty dictionary.
        """
        if self.gan_mode != "wgangp":
            return {}
        return {"D_gp": self._over_scales(gradient_penalty(discriminate, real, fake))}

    def generator(self, pred_fake: DiscriminatorOutput, fake: Tensor, real: Tensor,
                  pred_real: DiscriminatorOutput) -> dict[str, Tensor]:
        """Compute the generator's weighted losses; the generator minimizes their sum.

        Args:
            pred_fake: the discriminator's output for fake pairs, with gradients to the generator.
            fake: generated images (N, C, H, W) in [-1, 1].
            real: target images (N, C, H, W) in [-1, 1].
            pred_real: the discriminator's output for real pairs; no gradients flow into it.

        Returns:
            name from `terms` -> weighted loss.
        """
        return {"GAN": self.gan(pred_fake, True, False)}


class Pix2PixObjective(Objective):
    """Pix2Pix's objective (Isola et al., CVPR 2017): GAN(D(x, G(x))) + lambda_L1 ||G(x) - y||_1.

    The norm is the mean absolute difference.

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
        return {"GAN": self.gan(pred_fake, True, False), "L1": self.lambda_L1 * F.l1_loss(fake, real)}


class FeatureMatchingObjective(Objective):
    """SPADE's objective (Park et al., CVPR 2019): GAN, feature matching and perceptual terms.

        GAN(D(x, G(x)))
        + lambda_feat * 1/S sum_s w sum_l ||D_sl(x, G(x)) - sg D_sl(x, y)||_1
        + lambda_vgg * V(G(x), y)

    D_sl are the activations of layer l at scale s of S, without the predictions; the norm is the mean
    absolute difference; w is :meth:`layer_weight`; V is the perceptual distance in VGG-19.

    Args:
        gan_mode: vanilla, lsgan, wgangp or hinge.
        lambda_feat, lambda_vgg: weights of the feature-matching and the perceptual term, at least 0.
        vgg: network (fake, real) -> perceptual distance; None drops the term.
    """

    settings = ("gan_mode", "lambda_feat", "lambda_vgg", "vgg")
    terms: tuple[str, ...] = ("GAN", "GAN_Feat", "VGG")

    def __init__(self, gan_mode: str = "hinge", lambda_feat: float = 10.0, lambda_vgg: float = 10.0,
                 vgg: nn.Module | None = None):
        super().__init__(gan_mode)
        for name, value in (("lambda_feat", lambda_feat), ("lambda_vgg", lambda_vgg)):
            if value < 0:
                raise ValueError(f"--{name} must be at least 0, got {value}")
        self.lambda_feat = lambda_feat
        self.lambda_vgg = lambda_vgg
        self.vgg = vgg
        used = {"GAN": True, "GAN_Feat": lambda_feat > 0, "VGG": vgg is not None}
        self.terms = tuple(term for term in self.terms if used[term])

    def layer_weight(self, layers: int) -> float:
        """Return the weight w of each matched layer of a scale; `layers` is their number."""
        return 1.0

    def generator(self, pred_fake: DiscriminatorOutput, fake: Tensor, real: Tensor,
                  pred_real: DiscriminatorOutput) -> dict[str, Tensor]:
        losses = {"GAN": self.gan(pred_fake, True, False)}
        if "GAN_Feat" in self.terms:
            matched = [self._match_features(fake_layers[:-1], real_layers[:-1])
                       for fake_layers, real_layers in zip(pred_fake, pred_real, strict=True)]
            losses["GAN_Feat"] = self.lambda_feat * sum(matched) / len(matched)  # type: ignore[assignment]
        if self.vgg is not None:
            losses["VGG"] = self.lambda_vgg * self.vgg(fake, real)
        return losses

    def _match_features(self, fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
        """Compute the weighted sum over the layers of one scale of the L1 distances between activations."""
        distances = [F.l1_loss(a.float(), b.detach().float()) for a, b in zip(fake, real, strict=True)]
        return self.layer_weight(len(fake)) * sum(distances)  # type: ignore[return-value]


class Pix2PixHDObjective(FeatureMatchingObjective):
    """Pix2PixHD's objective (Wang et al., CVPR 2018).

    It differs from SPADE's in three respects: the default GAN mode is LSGAN, the GAN losses are summed over
    the scales, and the layer weight w is 4 / (number of layers).
    """

    average_scales = False

    def __init__(self, gan_mode: str = "lsgan", lambda_feat: float = 10.0, lambda_vgg: float = 10.0,
                 vgg: nn.Module | None = None):
        super().__init__(gan_mode, lambda_feat, lambda_vgg, vgg)

    def layer_weight(self, layers: int) -> float:
        return 4.0 / layers

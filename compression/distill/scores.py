"""Scores of fake labels, by which the Adaptive Data Filter ranks them; higher is better.

Notation as in docs/method.md: z is an input, u an unlabeled one, T_k = sg G_k the image of a teacher k.
"""
from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ..originals.objectives import DiscriminatorOutput
from .fake_labels import FakeLabels
from .ssim import ssim

PATCH = 16  # side of the patches of patch_agreement, in pixels


def realness(prediction: DiscriminatorOutput) -> Tensor:
    """Compute s_k(z) = mean D_k(z, T_k(z)): the mean logit of every sample, averaged over the scales.

    Args:
        prediction: output of a discriminator for N samples; its last layers are the logits, (N, 1, h, w).

    Returns:
        (N,) scores in float32, without gradients.
    """
    logits = [layers[-1].detach().float() for layers in prediction]
    return torch.stack([scale.flatten(1).mean(1) for scale in logits]).mean(0)


def agreement(images: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Compute s_k(z) = mean over j != k of SSIM(T_k(z), T_j(z)): how much a teacher agrees with the others.

    Args:
        images: T_k(z) of at least two teachers k, (N, C, H, W) each.

    Returns:
        (N,) scores for each teacher.
    """
    scores = {}
    for name, image in images.items():
        similarities = [ssim(image, other) for other_name, other in images.items() if other_name != name]
        scores[name] = torch.stack(similarities).mean(0)
    return scores


def consistency(labels: Mapping[str, FakeLabels]) -> dict[str, Tensor]:
    """Compute how much the teachers agree about an input, and about its mirror image.

        s_k(u) = -mean over j != k of (|T_k(u) - T_j(u)|_1 + 2 |grad T_k(u) - grad T_j(u)|_1)
                 - |grad T_k(u) - grad flip(T_k(flip(u)))|_1

    The gradient consists of the differences of neighboring pixels (:func:`gradient`). The weights were
    chosen by measurement (docs/tips.md). A single teacher has only the last term.

    Args:
        labels: fake labels of N inputs, with N images of the flipped inputs, by teacher.

    Returns:
        (N,) scores for each teacher, at most 0.
    """
    scores = {}
    for name, label in labels.items():
        assert label.flipped is not None, "the model has not translated the flipped inputs"
        image, edges = label.images, gradient(label.images)
        score = -_l1(edges, gradient(label.flipped))
        others = [other.images for other_name, other in labels.items() if other_name != name]
        if others:
            distances = [_l1(image, other) + 2 * _l1(edges, gradient(other)) for other in others]
            score = score - torch.stack(distances).mean(0)
        scores[name] = score
    return scores


def gradient(image: Tensor) -> Tensor:
    """Compute the differences to the next pixels, (N, C, H, W) -> (N, 2 C, H - 1, W - 1)."""
    corner = image[..., :-1, :-1]
    return torch.cat((image[..., 1:, :-1] - corner, image[..., :-1, 1:] - corner), 1)


def patch_agreement(images: Mapping[str, Tensor], tau: float) -> dict[str, Tensor]:
    """Compute weights exp(-|T_k - T_j|_1 / tau) for every patch of 16x16 pixels, averaged over j != k.

    Args:
        images: T_k(z) of at least two teachers k, (N, C, H, W) each, in [-1, 1].
        tau: distance at which a weight is 1/e.

    Returns:
        (N, 1, ceil(H / 16), ceil(W / 16)) weights in [0, 1] for each teacher.
    """
    weights = {}
    for name, image in images.items():
        rows, columns = (-(-side // PATCH) for side in image.shape[-2:])
        others = [other for other_name, other in images.items() if other_name != name]
        distances = [F.adaptive_avg_pool2d((image - other).abs().mean(1, keepdim=True), (rows, columns))
                     for other in others]
        weights[name] = torch.stack([torch.exp(-distance / tau) for distance in distances]).mean(0)
    return weights


def _l1(a: Tensor, b: Tensor) -> Tensor:
    """Compute the mean absolute difference of each sample, (N, ...) -> (N,)."""
    return (a - b).abs().flatten(1).mean(1)

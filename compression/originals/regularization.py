"""Regularization of a discriminator that has few real images: R1 and LeCam."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..runtime import distributed
from .objectives import DiscriminatorOutput

_DECAY = 0.99  # of the averages of LeCam, as in the paper


def r1_penalty(discriminate: Callable[[Tensor], DiscriminatorOutput], pairs: Tensor,
               image_nc: int) -> Tensor:
    """Compute the R1 penalty (Mescheder et al., ICML 2018), without its weight,

        mean_n |grad_y sum D(x_n, y_n)|_2^2 / P,

    averaged over the scales. The sum is over the P patches of a sample; with the division by P, the size of
    the images hardly changes the penalty. It is computed in float32.

    Args:
        discriminate: D, maps pairs (N, C, H, W) to the activations of every scale.
        pairs: real pairs (x, y), concatenated, (N, C, H, W).
        image_nc: channels of the image y, which are last.

    Returns:
        A scalar.
    """
    condition = pairs[:, :-image_nc].detach().float()
    image = pairs[:, -image_nc:].detach().float().requires_grad_()
    penalties = []
    with torch.autocast(pairs.device.type, enabled=False):
        for layers in discriminate(torch.cat((condition, image), 1)):
            logits = layers[-1]
            gradient, = torch.autograd.grad(logits.sum(), image, create_graph=True)
            penalties.append(gradient.square().flatten(1).sum(1).mean() / logits[0].numel())
    return torch.stack(penalties).mean()


class Regularization:
    """Computes the losses of R1 and LeCam, which the discriminator minimizes too.

        D_r1     r1 / 2 * (R1 penalty), in every `r1_every`-th step with a weight that is as much higher
                 (Karras et al., CVPR 2020)
        D_lecam  lecam * (mean (D(x, y) - a_fake)^2 + mean (D(x, G(x)) - a_real)^2)
                 (Tseng et al., CVPR 2021)

    a_real and a_fake are exponential moving averages of the mean logits, for each scale; the losses are means
    over the scales.

    Args:
        r1, lecam: the weights, at least 0.
        r1_every: steps from one R1 penalty to the next.
        image_nc: channels of an image.

    With gradient accumulation, the micro-batches of a step either all have the R1 penalty or none, and the
    averages take a step after the last one.

    Attributes:
        terms: names of the losses with a weight above 0.
        steps: training steps so far.
    """

    def __init__(self, r1: float = 0.0, lecam: float = 0.0, r1_every: int = 16, image_nc: int = 3):
        self.r1 = r1
        self.lecam = lecam
        self.r1_every = r1_every
        self.image_nc = image_nc
        self.terms = tuple(name for name, weight in (("D_r1", r1), ("D_lecam", lecam)) if weight)
        self.steps = 0
        self.last_r1 = torch.tensor(0.0)  # the last D_r1, which is reported in the steps without it
        self.averages: dict[str, Tensor] = {}
        self._means: dict[str, Tensor] = {}  # of the logits of the current step
        self._share = 0.0  # of its samples, so far

    def __call__(self, discriminate: Callable[[Tensor], DiscriminatorOutput], pairs: Tensor,
                 pred_real: DiscriminatorOutput, pred_fake: DiscriminatorOutput, share: float = 1.0,
                 is_last: bool = True) -> dict[str, Tensor]:
        """Compute the losses of a step, or of one of its micro-batches.

        Args:
            discriminate: D, maps pairs to the activations of every scale.
            pairs: real pairs (x, y), concatenated, (N, C, H, W).
            pred_real: D(x, y).
            pred_fake: D(x, sg G(x)).
            share: share of the step's samples, in (0, 1].
            is_last: whether the step ends with these samples.

        Returns:
            name from `terms` -> weighted loss. Between two R1 penalties, ``D_r1`` is the last one, a
            constant.
        """
        losses = {}
        if self.r1:
            losses["D_r1"] = self.last_r1.to(pairs.device)
            if self.steps % self.r1_every == 0:
                weight = self.r1 / 2 * self.r1_every
                losses["D_r1"] = weight * r1_penalty(discriminate, pairs, self.image_nc)
                self.last_r1 = losses["D_r1"].detach()
        if self.lecam:
            losses["D_lecam"] = self.lecam * self._lecam(pred_real, pred_fake, share, is_last)
        self.steps += is_last
        return losses

    def _lecam(self, pred_real: DiscriminatorOutput, pred_fake: DiscriminatorOutput, share: float,
               is_last: bool) -> Tensor:
        logits = {name: [layers[-1].float() for layers in prediction]
                  for name, prediction in (("real", pred_real), ("fake", pred_fake))}
        self._share += share
        averages = {}
        for name, scales in logits.items():
            means = distributed.all_reduce_mean(torch.stack([scale.detach().mean() for scale in scales]))
            self._means[name] = self._means.get(name, 0) + share * means
            means = self._means[name] / self._share
            before = self.averages.get(name, means)
            averages[name] = _DECAY * before.to(means.device) + (1 - _DECAY) * means
        if is_last:
            self.averages, self._means, self._share = averages, {}, 0.0
        distances = [(real - averages["fake"][s]).square().mean()
                     + (fake - averages["real"][s]).square().mean()
                     for s, (real, fake) in enumerate(zip(logits["real"], logits["fake"], strict=True))]
        return torch.stack(distances).mean()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors, for an exact resume; empty without `terms`."""
        if not self.terms:
            return {}
        return {"steps": self.steps, "last_r1": float(self.last_r1),
                "averages": {name: average.cpu() for name, average in self.averages.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state; an empty one, as of runs without regularization, is that of the first step."""
        self.steps = int(state.get("steps", 0))
        self.last_r1 = torch.tensor(float(state.get("last_r1", 0.0)))
        self.averages = {name: torch.as_tensor(average, dtype=torch.float32)
                         for name, average in state.get("averages", {}).items()}

"""One pass of a discriminator over generated images, for the generator's loss and for its own update.

Both losses need D(x, G(x)) with the same weights if the generator is updated before the discriminator. The
generator's gradient goes through D to the images, and that of D stops at the images. With one graph for both,
the forward pass runs once; no gradient is computed that a separate pass would not compute.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase as Norm

from .objectives import DiscriminatorOutput
from .spectral_norm import has_spectral_norm

Discriminate = Callable[[Tensor], DiscriminatorOutput]


def can_share(net: nn.Module) -> bool:
    """Return whether two passes of `net` in training mode with the same weights have equal outputs.

    The power iteration of a spectral norm changes the weights in every pass, and dropout the activations.
    """
    random = (nn.Dropout, nn.Dropout2d)
    return not has_spectral_norm(net) and not any(isinstance(module, random) for module in net.modules())


@dataclass(frozen=True)
class SharedPass:
    """A pass over generated images that the discriminator's own update uses again.

    Attributes:
        prediction: the output, whose gradients go to the discriminator and not to the generator. The images
            are a leaf of its graph, so the backward pass should name its ``inputs``.
        updates: the running statistics of the batch norms, with the share that the pass left of them and
            with what it added.
    """

    prediction: DiscriminatorOutput
    updates: list[tuple[Tensor, float, Tensor]]

    @torch.no_grad()
    def track_again(self) -> None:
        """Update the running statistics of batch norms as another pass over the same images would."""
        for statistic, share, addend in self.updates:
            statistic.mul_(share).add_(addend)


def shared_pass(net: nn.Module, discriminate: Discriminate,
                images: Tensor) -> tuple[DiscriminatorOutput, SharedPass]:
    """Run a discriminator once for both losses.

    Args:
        net: the discriminator, for which :func:`can_share` is true.
        discriminate: maps images to the output of `net`.
        images: generated images, (N, C, H, W), with gradients to their generator.

    Returns:
        The output for the generator's loss, whose gradients go to `images` and not to the discriminator; and
        what the discriminator's own update needs.
    """
    before = _running_statistics(net)
    copy = images.detach().requires_grad_()
    outputs = discriminate(copy)
    layers = [layer for scale in outputs for layer in scale]
    connected = iter(_ToImages.apply(images, copy, layers))
    for_generator = [[next(connected) for _ in scale] for scale in outputs]
    updates = [(statistic, share, statistic - share * old) for statistic, share, old in before]
    return for_generator, SharedPass(outputs, updates)


def _running_statistics(net: nn.Module) -> list[tuple[Tensor, float, Tensor]]:
    """Copy the running statistics of batch norms, each with the share that a pass leaves of it."""
    statistics: list[tuple[Tensor, float, Tensor]] = []
    for module in net.modules():
        if isinstance(module, Norm) and module.training and module.running_mean is not None:
            assert module.momentum is not None  # an average over all steps is not used
            shares = {"running_mean": 1 - module.momentum, "running_var": 1 - module.momentum,
                      "num_batches_tracked": 1}
            for name, share in shares.items():
                # .data: the graph of the pass has kept the statistics, although its gradients do not use them
                statistic = getattr(module, name).data
                statistics.append((statistic, share, statistic.clone()))
    return statistics


class _ToImages(torch.autograd.Function):
    """Connects outputs that were computed of a copy of images with these images.

    The backward pass computes the gradient of the copy, and keeps the graph of the outputs.
    """

    @staticmethod
    def forward(ctx, images, copy, layers):
        ctx.copy = copy
        ctx.layers = layers
        ctx.set_materialize_grads(False)
        return tuple(layer.detach() for layer in layers)

    @staticmethod
    def backward(ctx, *gradients):
        used = [(layer, gradient) for layer, gradient in zip(ctx.layers, gradients, strict=True)
                if gradient is not None]
        layers, gradients = zip(*used, strict=True)
        gradient, = torch.autograd.grad(layers, ctx.copy, gradients, retain_graph=True)
        return gradient, None, None

"""The training of one generator against one discriminator, shared by the originals and the supernet."""
from __future__ import annotations

import torch

from compression.runtime.modes import frozen
from options.ugc_options import sides

from . import builders


class ConditionalGAN:
    """Mixin of models that train ``netG`` against a conditional discriminator by the objective of the
    original.

    Attributes:
        condition: x, inputs of the generator, (N, C, H, W).
        real_B: y, ground truth, (N, C, H, W) in [-1, 1].
        fake_B: G(x), the same shape.
        pred_real: D(x, y), the discriminator's output for the real pairs.
    """

    def build_training(self, opt):
        """Build the objective, its loss names, and the optimizers of ``netG`` and ``netD``."""
        self.objective = self.to_device(builders.build_objective(opt))
        self.loss_names = [*(f"G_{term}" for term in self.objective.terms),
                           *self.objective.discriminator_terms]
        self.optimizer_G = torch.optim.Adam(self.netG.parameters(), **builders.adam_settings(opt, "G"))
        self.optimizer_D = torch.optim.Adam(self.netD.parameters(), **builders.adam_settings(opt, "D"))
        self.optimizers = [self.optimizer_G, self.optimizer_D]

    def pair_sides(self, input):
        """Return the keys of the input and of the target in a batch; ValueError if it has no pairs."""
        A, B = sides(self.opt)
        if A not in input or B not in input:
            raise ValueError(f"--model {self.opt.model} needs pairs, --dataset_mode {self.opt.dataset_mode} "
                             "has none; --model test translates inputs without targets")
        return A, B

    def forward(self):
        """Compute G(x)."""
        with self.autocast():
            self.fake_B = self.generate(self.netG, self.condition).float()

    def pairs(self, image):
        """Concatenate the inputs x and images, which the discriminator sees together."""
        return torch.cat((self.condition, image), 1)

    def discriminate(self, image):
        """Compute D(x, image), the discriminator's output for images together with their inputs."""
        with self.autocast():
            return self.netD.discriminate(self.pairs(image))

    def generator_losses(self):
        """Compute the terms of L_original(x, y), name -> weighted scalar."""
        pred_fake = self.discriminate(self.fake_B)
        return self.objective.generator(pred_fake, self.fake_B, self.real_B, self.pred_real)

    def backward_generator(self):
        """Backpropagate L_original(x, y) to the generator."""
        with frozen(self.netD):
            losses = self.generator_losses()
            self.set_losses({f"G_{name}": loss for name, loss in losses.items()})
            self.backward(sum(losses.values()), self.optimizer_G)

    def update_discriminator(self):
        """Update the discriminator with real pairs (x, y) and fake pairs (x, sg G(x))."""
        fake = self.fake_B.detach()
        losses = self.objective.discriminator(self.pred_real, self.discriminate(fake))
        penalty = self.objective.penalty(self.netD.discriminate, self.pairs(self.real_B), self.pairs(fake))
        self.set_losses(losses | penalty)
        self.backward(0.5 * sum(losses.values()) + sum(penalty.values()), self.optimizer_D)
        self.step(self.optimizer_D)

    def activations(self):
        """Return those of the generator, and those of the discriminator for real and for fake pairs.

        The gradient penalty stores those of a third batch and of its gradients. The other sub-networks of a
        supernet store less, after the activations of the largest are released.
        """
        passes = 4 if self.objective.gan_mode == "wgangp" else 2
        pair = self.pairs(self.real_B).shape
        return [(self.netG, self.condition.shape, 1), (self.netD, pair, passes)]

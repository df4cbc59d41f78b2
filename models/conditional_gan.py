"""The training of one generator against one discriminator, shared by the originals and the supernet."""
from __future__ import annotations

from dataclasses import dataclass, field

import torch

from compression.checkpoints.records import Count, read_record
from compression.originals.diffaugment import DiffAugment
from compression.originals.objectives import split_samples
from compression.originals.shared_pass import can_share, shared_pass
from compression.runtime.modes import frozen
from options.ugc_options import sides

from . import builders


@dataclass
class RegularizationState:
    """The state of the discriminator's regularization; files of earlier versions have none."""

    steps: Count = 0
    last_r1: float = 0.0
    averages: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass
class ConditionalGANState:
    """The result of :meth:`ConditionalGAN.extra_state`; files of earlier versions have none."""

    regularization: RegularizationState = field(default_factory=RegularizationState)


class ConditionalGAN:
    """Mixin of models that train ``netG`` against a conditional discriminator by the objective of the
    original.

    Attributes:
        condition: x, inputs of the generator, (N, C, H, W).
        inputs: z: x and, in a supernet, unlabeled inputs u, (N + N_u, C, H, W).
        real_B: y, ground truth, (N, C, H, W) in [-1, 1].
        fake_B: G(x), the same shape.
        fakes: all images that the discriminator judges: G(x), or G(z) with a weight `gan_unlabeled`.
        gan_unlabeled: weight of the GAN loss on unlabeled inputs.
        augment: the transformations of the current step (``--diffaugment``).
        pred_real: D(x, y), the discriminator's output for the real pairs.
        generator_first: whether the generator is updated before the discriminator, so that both use the same
            discriminator.
        shared: passes of the discriminator in the current step that its own update uses again.
    """

    gan_unlabeled = 0.0
    generator_first = True

    def build_training(self, opt):
        """Build the objective, its loss names, and the optimizers of ``netG`` and ``netD``."""
        self.objective = self.to_device(builders.build_objective(opt))
        self.diffaugment = DiffAugment(opt.diffaugment, opt.output_nc)
        self.regularization = builders.build_regularization(opt)
        self.loss_names = [*(f"G_{term}" for term in self.objective.terms),
                           *self.objective.discriminator_terms, *self.regularization.terms]
        self.optimizer_G = builders.build_adam(opt, "G", self.netG.parameters())
        self.optimizer_D = builders.build_adam(opt, "D", self.netD.parameters())
        self.optimizers = [self.optimizer_G, self.optimizer_D]
        self.shared = []
        self.shares_passes = self.generator_first and can_share(self.netD)

    def pair_sides(self, input):
        """Return the keys of the input and of the target in a batch; ValueError if it has no pairs."""
        A, B = sides(self.opt)
        if A not in input or B not in input:
            raise ValueError(f"--model {self.opt.model} needs pairs, --dataset_mode {self.opt.dataset_mode} "
                             "has none; --model test translates inputs without targets")
        return A, B

    def draw_augmentation(self):
        """Draw the transformations of a step, which every pass of the discriminator applies."""
        self.augment = self.diffaugment.draw(len(self.inputs))

    def forward(self):
        """Compute G(x), with a weight `gan_unlabeled` as a part of G(z)."""
        inputs = self.inputs if self.gan_unlabeled else self.condition
        with self.autocast():
            self.fakes = self.generate(self.netG, inputs).float()
        self.fake_B = self.fakes[:len(self.condition)]

    def pairs(self, image):
        """Concatenate images of the inputs x or z with these inputs, and augment the pairs."""
        return self.augment(torch.cat((self.inputs[:len(image)], image), 1))

    def discriminate(self, image):
        """Compute D(x, image) or D(z, image), the discriminator's output for images and their inputs."""
        with self.autocast():
            return self.netD.discriminate(self.pairs(image))

    def discriminate_fake(self, fake):
        """Compute D(x, fake) or D(z, fake) for a loss of the generator; D receives no gradients of it.

        The update of the discriminator uses the same pass if it follows with the same weights.
        """
        if not self.shares_passes:
            with frozen(self.netD):
                return self.discriminate(fake)
        prediction, shared = shared_pass(self.netD, self.discriminate, fake)
        self.shared.append(shared)
        return prediction

    def discriminate_detached(self, fake):
        """Compute D(x, sg fake) or D(z, sg fake) for the update of the discriminator.

        It takes the passes of :meth:`discriminate_fake` in their order, if there are any.
        """
        if not self.shared:
            return self.discriminate(fake.detach())
        shared = self.shared.pop(0)
        shared.track_again()
        return shared.prediction

    def generator_losses(self):
        """Compute the terms of L_original(x, y), name -> weighted scalar."""
        pred_fake, pred_unlabeled = split_samples(self.discriminate_fake(self.fakes), len(self.condition))
        losses = self.objective.generator(pred_fake, self.fake_B, self.real_B, self.pred_real)
        if self.gan_unlabeled:
            losses["GAN_unlabeled"] = self.gan_unlabeled * self.objective.gan(pred_unlabeled, True, False)
        return losses

    def backward_generator(self, is_last=True):
        """Backpropagate L_original(x, y) to the generator; `is_last` as in :meth:`backward`."""
        losses = self.generator_losses()
        self.set_losses({f"G_{name}": loss for name, loss in losses.items()})
        self.backward(sum(losses.values()), self.optimizer_G, is_last)

    def update_discriminator(self, further_fakes=()):
        """Update the discriminator with real pairs (x, y) and fake pairs (x, sg G(x)), or (z, sg G(z)).

        Args:
            further_fakes: images of other generators for x, (N, C, H, W) each. D_fake is a mean over the
                generators.
        """
        pred_fake = self.discriminate_detached(self.fakes)
        losses = self.objective.discriminator(self.pred_real, pred_fake)
        further = [self.objective.gan(self.discriminate_detached(fake), False, True)
                   for fake in further_fakes]
        losses["D_fake"] = (losses["D_fake"] + sum(further)) / (1 + len(further))
        real_pairs = self.pairs(self.real_B)
        penalty = self.objective.penalty(self.netD.discriminate, real_pairs, self.pairs(self.fake_B.detach()))
        penalty |= self.regularization(self.netD.discriminate, real_pairs, self.pred_real, pred_fake,
                                       self.micro_batch.share, self.micro_batch.is_last)
        self.set_losses(losses | penalty)
        self.backward(0.5 * sum(losses.values()) + sum(penalty.values()), self.optimizer_D)
        self.step(self.optimizer_D)

    def trained_shapes(self):
        """Return those of the generator, and those of the discriminator for real and for fake pairs."""
        inputs = self.inputs if self.gan_unlabeled else self.condition
        channels = self.condition.shape[1] + self.real_B.shape[1]
        real_pairs, fake_pairs = ((len(batch), channels, *batch.shape[2:])
                                  for batch in (self.condition, inputs))
        return [(self.netG, inputs.shape), (self.netD, real_pairs), (self.netD, fake_pairs)]

    def extra_state(self):
        """Return the state of the discriminator's regularization."""
        return {"regularization": self.regularization.state_dict()}

    def load_extra_state(self, state, source):
        """Restore the result of :meth:`extra_state`; states of earlier versions lack it."""
        read_record(ConditionalGANState, state, source, "model.extra")
        self.regularization.load_state_dict(state.get("regularization", {}))

"""Stage 1 of UGC: the supernet, one generator of every width and depth, with few labels."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from compression import SearchSpace
from compression.checkpoints.records import GeneratorState, read_record
from compression.elastic.slices import gradients_in_place
from compression.runtime import distributed
from compression.runtime.modes import deterministic
from options import gan_options, original_options, ugc_options
from options.earlier_runs import labels_outside_the_split
from options.precedence import inherit
from options.precision_options import add_precision_options

from . import builders
from .conditional_gan import ConditionalGAN
from .supernet_budgets import build_windows
from .ugc_base import UGCModel


@dataclass
class SupernetState:
    """The result of :meth:`UGCSupernetModel.extra_state`."""

    rng: GeneratorState


class UGCSupernetModel(ConditionalGAN, UGCModel):
    """Semi-supervised training of the supernet by the sandwich rule (UGC, section 3.1).

    Every step trains the largest sub-network G_l, the smallest, and k random ones, which share one set of
    weights. G_l minimizes the objective of the original; the others learn from the labels and from the
    images of G_l. One optimizer step uses the sum of their gradients.
    """

    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        """Add the flags of the originals and of stage 1, and use the data set with unlabeled inputs."""
        ugc_options.split_data_set(parser).set_defaults(netG="resnet_9blocks", dataset_mode="adf")
        if is_train:
            ugc_options.add_supernet_options(parser)
            gan_options.add_unlabeled_gan_option(parser)
            original_options.set_defaults_from_checkpoints(parser)  # --netG determines other defaults
        original_options.add_original_options(parser, is_train)
        original_options.set_defaults_from_checkpoints(parser)
        return inherit(add_precision_options(parser, is_train), is_train)

    def __init__(self, opt):
        UGCModel.__init__(self, opt)
        self.visual_names = ["real_A", "fake_B", "fake_smallest", "real_B"]
        self.model_names = ["G", "D"] if self.isTrain else ["G"]
        self.encoding = builders.build_encoding(opt)
        self.netG = self.to_device(self._build_generator(opt).train())
        self.space = SearchSpace.of(self.netG.full, opt.ngf)
        if not self.isTrain:
            return
        for line in labels_outside_the_split(opt):
            print(f"warning: {line}")
        self.netD = self.to_device(self._build_discriminator(opt).train())
        self.gan_unlabeled = opt.lambda_gan_unlabeled
        self.build_training(opt)
        has_unlabeled = opt.unlabeled_dir or (opt.label_ratio < 1 and opt.unlabeled == "split")
        self.weights = ugc_options.supernet_from(opt, self.objective.lambda_L1 if has_unlabeled else 0.0)
        self.loss_names += ["G_GAN_unlabeled"] if self.gan_unlabeled else []
        self.loss_names += ["sub_label", "sub_pseudo"] + (["sub_gan"] if self.weights.gan else [])
        self.rng = np.random.default_rng(opt.seed)
        self.windows = build_windows(opt, self.space, self.netG)
        self.forward_is_deterministic = not any(isinstance(m, nn.Dropout) for m in self.netG.modules())

    def _build_generator(self, opt):
        """Build the supernet; its largest sub-network is the original of ``--restore_G``, if given."""
        checkpoint = getattr(opt, "restore_G", None)
        return builders.restore_original(opt, checkpoint) if checkpoint else builders.build_original(opt)

    def _build_discriminator(self, opt):
        """Build the discriminator, or load that of ``--restore_D``."""
        checkpoint = getattr(opt, "restore_D", None)
        if checkpoint:
            return builders.restore_original_discriminator(opt, checkpoint)
        return builders.build_original_discriminator(opt)

    def set_input(self, input):
        """Set a batch of labeled pairs (x, y) and, if there are any, unlabeled inputs u."""
        A, B = self.pair_sides(input)
        self.condition = self.encoding(self.to_device(input[A]))
        self.real_B = self.to_device(input[B])
        self.inputs = self.condition  # z: x, then u
        if "unlabeled" in input:
            self.inputs = torch.cat((self.condition, self.encoding(self.to_device(input["unlabeled"]))))
        gan_options.check_unlabeled(self.gan_unlabeled, "unlabeled" in input)
        self.image_paths = input[f"{A}_paths"]

    def optimize_parameters(self):
        """Take one training step of the sandwich, then of the discriminator.

        The discriminator's output for the real pairs is computed once and used by both.
        """
        self.check_batch()
        self.draw_augmentation()
        self.forward()  # G_l(x)
        self.pred_real = self.discriminate(self.real_B)  # D(x, y)
        self.backward_generator(is_last=False)  # L_{G_l}
        slice_images = self.backward_slices()  # mean of L_a over a
        self.step(self.optimizer_G)
        self.update_discriminator(slice_images)

    def backward_slices(self):
        """Backpropagate the mean over the smallest and the random sub-networks a of

            L_a = lambda_label |G_a(x) - y|_1 + lambda_pseudo |G_a(z) - sg G_l(z)|_1,

        where z are the inputs u, or x and u if no loss compares with y (``--sub_pseudo_inputs``): each input
        has one target. Two L1 losses of equal weight would cancel at every value between their targets. The
        random ones also have, with a weight lambda_gan, the GAN loss of D(x, G_a(x)).

        Returns:
            The images G_a(x) that the discriminator judges, detached.
        """
        pseudo_labels = self.pseudo_labels()
        archs = self.space.sandwich(self.rng, self.weights.n_random, self.windows)
        labeled = len(self.condition)
        slice_images = []
        self.loss_sub_label = self.loss_sub_pseudo = self.loss_sub_gan = torch.zeros((), device=self.device)
        for k, arch in enumerate(archs):
            # with several processes, hooks of the weights start the average of their gradients
            with self.autocast(), gradients_in_place(distributed.world_size() == 1):
                fake = self.netG(self.inputs, arch)
            fake = fake.float()
            label_loss, pseudo_loss = self.slice_losses(fake, pseudo_labels)
            total = label_loss + pseudo_loss
            if self.weights.gan and k:  # not for the smallest, which is first
                pred_fake = self.discriminate_fake(fake[:labeled])
                gan_loss = self.weights.gan * self.objective.gan(pred_fake, True, False)
                total = total + gan_loss
                self.loss_sub_gan = self.loss_sub_gan + gan_loss.detach() / len(archs)
                slice_images.append(fake[:labeled].detach())
            self.backward(total / len(archs), self.optimizer_G, is_last=k == len(archs) - 1)
            self.loss_sub_label = self.loss_sub_label + label_loss.detach() / len(archs)
            self.loss_sub_pseudo = self.loss_sub_pseudo + pseudo_loss.detach() / len(archs)
        return slice_images

    def slice_losses(self, fake, pseudo_labels):
        """Compute both terms of L_a.

        Args:
            fake: G_a of x, then u, (N, C, H, W) in [-1, 1].
            pseudo_labels: those of :meth:`pseudo_labels`, the same shape.

        Returns:
            Two weighted scalars; the second is 0 if the batch has no inputs z.
        """
        labeled = len(self.real_B)
        label_loss = self.weights.label * F.l1_loss(fake[:labeled], self.real_B)
        first = 0 if self.weights.pseudo_on_labeled else labeled
        if first == len(fake):
            return label_loss, fake.new_zeros(())
        return label_loss, self.weights.pseudo * F.l1_loss(fake[first:], pseudo_labels[first:])

    @torch.no_grad()
    def pseudo_labels(self):
        """Compute sg G_l for all inputs, without dropout.

        The sub-networks see the same batch, so that batch norms have the same statistics.
        """
        if self.forward_is_deterministic and len(self.inputs) == len(self.fakes):
            return self.fakes.detach()
        with self.autocast(), deterministic(self.netG):
            return self.netG(self.inputs).float()

    def compile(self):
        """Reject ``--compile``: every step would compile the generator again.

        Raises:
            ValueError: always.
        """
        raise ValueError("--compile: the generator of a supernet changes its size in every step; "
                         "drop the flag")

    def compute_visuals(self):
        """Convert the input to an image, and compute the image of the smallest sub-network."""
        self.real_A = self.encoding.picture(self.condition)
        with torch.no_grad(), self.autocast():
            smallest = self.generate(self.netG, self.condition, self.space.smallest)
            self.fake_smallest = smallest.float()

    def steps_differ(self):
        """Return whether there are random sub-networks."""
        return self.weights.n_random > 0

    def choose_largest(self):
        """Let all random sub-networks be the largest one."""
        smallest, largest = self.space.smallest, self.space.largest
        self.space = SimpleNamespace(smallest=smallest, largest=largest,
                                     sandwich=lambda rng, k=1, windows=(): [smallest, *[largest] * k])

    def extra_state(self):
        """Return the state of the regularization and of the random generator that samples sub-networks."""
        return {**super().extra_state(), "rng": self.rng.bit_generator.state}

    def load_extra_state(self, state, source):
        """Restore the result of :meth:`extra_state`."""
        read_record(SupernetState, state, source, "model.extra")
        super().load_extra_state(state, source)
        self.rng.bit_generator.state = state["rng"]

    def supernet_path(self, tag):
        """Return the path of the supernet's checkpoint, which has upstream's format for the original."""
        return Path(self.save_dir) / f"{tag}_net_G.pth"

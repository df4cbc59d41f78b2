"""Stage 1 of UGC: one elastic generator for every width and depth, trained on labeled and unlabeled inputs."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from compression import SearchSpace
from compression.runtime.modes import frozen
from options import original_options, ugc_options
from options.precedence import inherit

from . import builders
from .ugc_base import UGCModel


class UGCSupernetModel(UGCModel):
    """The largest network learns by the original's objective; its slices learn from the labels and from its images.

    Every step runs the sandwich: the largest network G_l, the smallest and k random ones, all slices of one weight
    set, and takes one optimizer step for their summed gradients (UGC, section 3.1).
    """

    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        """The original's options, the data with unlabeled inputs, and the flags of stage 1."""
        parser.set_defaults(netG="resnet_9blocks", dataset_mode="adf")
        if is_train:
            ugc_options.add_supernet_options(parser)
            original_options.set_defaults_from_checkpoints(parser)  # --netG, which chooses the defaults of others
        original_options.add_original_options(parser, is_train)
        original_options.set_defaults_from_checkpoints(parser)
        return inherit(ugc_options.add_precision_options(parser), is_train)

    def __init__(self, opt):
        UGCModel.__init__(self, opt)
        self.visual_names = ["real_A", "fake_B", "fake_smallest", "real_B"]
        self.model_names = ["G", "D"] if self.isTrain else ["G"]
        self.encoding = builders.build_encoding(opt)
        restore_G, restore_D = getattr(opt, "restore_G", None), getattr(opt, "restore_D", None)
        self.netG = self.to_device((builders.restore_original(opt, restore_G) if restore_G else
                                builders.build_original(opt)).train())
        self.space = SearchSpace.of(self.netG.full, opt.ngf)
        if not self.isTrain:
            return
        self.netD = self.to_device((builders.restore_original_discriminator(opt, restore_D) if restore_D else
                                builders.build_original_discriminator(opt)).train())
        self.weights = ugc_options.supernet_from(opt)
        self.objective = self.to_device(builders.build_objective(opt))
        self.loss_names = [*(f"G_{term}" for term in self.objective.terms), "D_real", "D_fake", "sub_label", "sub_pseudo"]
        self.rng = np.random.default_rng(opt.seed)
        self.optimizer_G = torch.optim.Adam(self.netG.parameters(), **builders.adam_settings(opt, "G"))
        self.optimizer_D = torch.optim.Adam(self.netD.parameters(), **builders.adam_settings(opt, "D"))
        self.optimizers = [self.optimizer_G, self.optimizer_D]

    def set_input(self, input):
        """Take a labeled pair A, B and, where there is one, an unlabeled input."""
        A, B = ugc_options.sides(self.opt)
        self.condition, self.real_B = self.encoding(self.to_device(input[A])), self.to_device(input[B])
        unlabeled = [self.encoding(self.to_device(input["unlabeled"]))] if "unlabeled" in input else []
        self.inputs = torch.cat((self.condition, *unlabeled))
        self.image_paths = input[f"{A}_paths"]

    def forward(self):
        """G_l on the labeled input."""
        with self.autocast():
            self.fake_B = self.netG(self.condition).float()

    def discriminate(self, image):
        """What the discriminator says of images beside their labeled inputs."""
        with self.autocast():
            return self.netD.discriminate(torch.cat((self.condition, image), 1))

    def optimize_parameters(self):
        """One step: the sandwich, then the discriminator; both learn from one judgment of the real images."""
        self.forward()
        self.pred_real = self.discriminate(self.real_B)
        self.backward_largest()
        self.backward_slices()
        self.step(self.optimizer_G)
        self.update_discriminator()

    def backward_largest(self):
        """The original's own objective."""
        with frozen(self.netD):
            losses = self.objective.generator(self.discriminate(self.fake_B), self.fake_B, self.real_B, self.pred_real)
            self.set_losses({f"G_{name}": loss for name, loss in losses.items()})
            self.backward(sum(losses.values()), self.optimizer_G)

    def backward_slices(self):
        """The smallest and random sub-networks towards the labels and towards G_l, whose images are pseudo-labels."""
        pseudo, labeled = self.fake_B.detach(), len(self.condition)
        if len(self.inputs) > labeled:
            with torch.no_grad(), self.autocast():
                pseudo = torch.cat((pseudo, self.netG(self.inputs[labeled:]).float()))
        archs = self.space.sandwich(self.rng, self.weights.n_random)
        self.loss_sub_label = self.loss_sub_pseudo = torch.zeros((), device=self.device)
        for arch in archs:
            with self.autocast():
                fake = self.netG(self.inputs, arch)
            fake = fake.float()
            label = self.weights.label * F.l1_loss(fake[:labeled], self.real_B)
            towards_largest = self.weights.pseudo * F.l1_loss(fake, pseudo)
            self.backward((label + towards_largest) / len(archs), self.optimizer_G)
            self.loss_sub_label = self.loss_sub_label + label.detach() / len(archs)
            self.loss_sub_pseudo = self.loss_sub_pseudo + towards_largest.detach() / len(archs)

    def update_discriminator(self):
        """Real labeled pairs against the fakes of the largest network."""
        losses = self.objective.discriminator(self.pred_real, self.discriminate(self.fake_B.detach()))
        self.set_losses(losses)
        self.backward(0.5 * sum(losses.values()), self.optimizer_D)
        self.step(self.optimizer_D)

    def compile(self):
        """There is nothing to gain: it would be compiled anew in every step."""
        raise ValueError("--compile: a supernet's generator has another size in every step; leave the flag away")

    def activations(self):
        """The largest slice's on labeled inputs, and the discriminator's of real and fake pairs; other slices' are few, and
        come after the largest's are gone."""
        pair = torch.cat((self.condition, self.real_B), 1).shape
        return [(self.netG, self.condition.shape, 1), (self.netD, pair, 2)]

    def compute_visuals(self):
        """The input as an image, and the smallest network's image beside the largest's."""
        self.real_A = self.encoding.picture(self.condition)
        with torch.no_grad(), self.autocast():
            self.fake_smallest = self.netG(self.condition, self.space.smallest).float()

    def extra_state(self):
        """The state of the sandwich's random choices, for an exact resume."""
        return {"rng": self.rng.bit_generator.state}

    def load_extra_state(self, state):
        """The inverse of :meth:`extra_state`."""
        self.rng.bit_generator.state = state["rng"]

    def supernet_path(self, tag):
        """Where the supernet of `tag` is stored, in upstream's format: its largest size is the original."""
        return Path(self.save_dir) / f"{tag}_net_G.pth"

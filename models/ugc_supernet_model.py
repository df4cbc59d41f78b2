"""Stage 1 of UGC: one elastic generator for every width and depth, trained on labelled and unlabelled inputs."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from compression import (SearchSpace, build_discriminator, build_generator, initialize, load_original,
                         load_original_discriminator)
from compression.losses import Pix2PixObjective
from compression.modes import frozen
from options import ugc_options

from .base_model import BaseModel


class UGCSupernetModel(BaseModel):
    """The largest network learns by the original's objective; its slices learn from the labels and from its images.

    Every step runs the sandwich: the largest network G_l, the smallest and k random ones, all slices of one weight
    set, and takes one optimizer step for their summed gradients (UGC, section 3.1).
    """

    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        """Pix2Pix's defaults, the data with unlabelled inputs, and the flags of stage 1."""
        parser.set_defaults(norm="batch", netG="resnet_9blocks", dataset_mode="adf")
        if is_train:
            parser.set_defaults(pool_size=0, gan_mode="vanilla")
            ugc_options.add_supernet_options(parser)
        return parser

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        self.loss_names = ["G_GAN", "G_L1", "D_real", "D_fake", "sub_label", "sub_pseudo"]
        self.visual_names = ["real_A", "fake_B", "fake_smallest", "real_B"]
        self.model_names = ["G", "D"] if self.isTrain else ["G"]
        self.netG = self._generator(opt)
        self.space = SearchSpace.of(self.netG.full, opt.ngf)
        if not self.isTrain:
            return
        self.netD = self._discriminator(opt)
        self.weights = ugc_options.supernet_from(opt)
        self.objective = Pix2PixObjective(opt.gan_mode, opt.lambda_L1).to(self.device)
        self.rng = np.random.default_rng(opt.seed)
        self.optimizer_G = torch.optim.Adam(self.netG.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
        self.optimizer_D = torch.optim.Adam(self.netD.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
        self.optimizers = [self.optimizer_G, self.optimizer_D]

    def _generator(self, opt):
        if self.isTrain and opt.restore_G:
            net = load_original(opt.restore_G, opt.netG, ngf=opt.ngf, norm=opt.norm, no_dropout=opt.no_dropout,
                                input_nc=opt.input_nc, output_nc=opt.output_nc)
        else:
            net = initialize(build_generator(opt.netG, opt.input_nc, opt.output_nc, opt.ngf, opt.norm,
                                             not opt.no_dropout), opt.init_type, opt.init_gain)
        return self.place(net.train())

    def _discriminator(self, opt):
        input_nc = opt.input_nc + opt.output_nc
        if opt.restore_D:
            net = load_original_discriminator(opt.restore_D, opt.netD, input_nc=input_nc, ndf=opt.ndf,
                                              n_layers_D=opt.n_layers_D, norm=opt.norm)
        else:
            net = initialize(build_discriminator(opt.netD, input_nc, opt.ndf, opt.n_layers_D, opt.norm),
                             opt.init_type, opt.init_gain)
        return self.place(net.train())

    def set_input(self, input):
        """Take a labelled pair A, B and, where there is one, an unlabelled input."""
        A, B = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        self.real_A, self.real_B = self.place(input[A]), self.place(input[B])
        self.unlabeled = self.place(input["unlabeled"]) if "unlabeled" in input else self.real_A[:0]
        self.image_paths = input[f"{A}_paths"]

    def forward(self):
        """G_l on the labelled input."""
        with self.autocast():
            self.fake_B = self.netG(self.real_A)

    def optimize_parameters(self):
        """One step: discriminator, then the sandwich."""
        self.forward()
        self.update_discriminator()
        self.optimizer_G.zero_grad()
        self.backward_largest()
        self.backward_slices()
        self.optimizer_G.step()

    def update_discriminator(self):
        """Real labelled pairs against the fakes of the largest network."""
        self.optimizer_D.zero_grad()
        with self.autocast():
            prediction_real = self.netD(torch.cat((self.real_A, self.real_B), 1))
            prediction_fake = self.netD(torch.cat((self.real_A, self.fake_B.detach()), 1))
        losses = self.objective.discriminator(prediction_real.float(), prediction_fake.float())
        self.loss_D_real, self.loss_D_fake = losses["D_real"], losses["D_fake"]
        (0.5 * (self.loss_D_real + self.loss_D_fake)).backward()
        self.optimizer_D.step()

    def backward_largest(self):
        """The original's own objective."""
        with frozen(self.netD):
            with self.autocast():
                prediction = self.netD(torch.cat((self.real_A, self.fake_B), 1))
            losses = self.objective.generator(prediction.float(), self.fake_B.float(), self.real_B)
            self.loss_G_GAN, self.loss_G_L1 = losses["GAN"], losses["L1"]
            (self.loss_G_GAN + self.loss_G_L1).backward()

    def backward_slices(self):
        """The smallest and random sub-networks towards the labels and towards G_l, whose images are pseudo-labels."""
        pseudo = self.fake_B.detach().float()
        if len(self.unlabeled):
            with torch.no_grad(), self.autocast():
                pseudo = torch.cat((pseudo, self.netG(self.unlabeled).float()))
        inputs, labelled = torch.cat((self.real_A, self.unlabeled)), len(self.real_A)
        archs = self.space.sandwich(self.rng, self.weights.n_random)
        self.loss_sub_label = self.loss_sub_pseudo = torch.zeros((), device=self.device)
        for arch in archs:
            with self.autocast():
                fake = self.netG(inputs, arch)
            fake = fake.float()
            label = self.weights.label * F.l1_loss(fake[:labelled], self.real_B)
            towards_largest = self.weights.pseudo * F.l1_loss(fake, pseudo)
            ((label + towards_largest) / len(archs)).backward()
            self.loss_sub_label = self.loss_sub_label + label.detach() / len(archs)
            self.loss_sub_pseudo = self.loss_sub_pseudo + towards_largest.detach() / len(archs)

    def compute_visuals(self):
        """The smallest network's image beside the largest's."""
        with torch.no_grad(), self.autocast():
            self.fake_smallest = self.netG(self.real_A, self.space.smallest)

    def extra_state(self):
        """The state of the sandwich's random choices, for an exact resume."""
        return {"rng": self.rng.bit_generator.state}

    def load_extra_state(self, state):
        """The inverse of :meth:`extra_state`."""
        self.rng.bit_generator.state = state["rng"]

    def supernet_path(self, tag):
        """Where the supernet of `tag` is stored, in upstream's format: its largest size is the original."""
        return Path(self.save_dir) / f"{tag}_net_G.pth"

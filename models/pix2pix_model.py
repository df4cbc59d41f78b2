"""Pix2Pix (Isola et al., CVPR 2017): train and test the original."""
import torch

from compression.runtime.modes import frozen
from options import original_options
from options.ugc_options import sides

from . import builders
from .base_model import BaseModel


class Pix2PixModel(BaseModel):
    """A generator from input to output image, trained with a conditional GAN loss and what its family adds."""

    defaults = {"netG": "unet_256", "dataset_mode": "aligned"}

    @classmethod
    def modify_commandline_options(cls, parser, is_train=True):
        """Batch norm, U-Net and paired data by default, as upstream."""
        parser.set_defaults(**cls.defaults)
        return original_options.add_original_options(parser, is_train)

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        self.visual_names = ["real_A", "fake_B", "real_B"]
        self.model_names = ["G", "D"] if self.isTrain else ["G"]
        self.encoding = builders.build_encoding(opt)
        self.netG = self.to_device(self.generator(opt))
        if self.isTrain:
            self.netD = self.to_device(builders.build_original_discriminator(opt))
            self.objective = self.to_device(builders.build_objective(opt))
            self.loss_names = [*(f"G_{term}" for term in self.objective.terms), "D_real", "D_fake"]
            self.optimizer_G = torch.optim.Adam(self.netG.parameters(), **builders.adam_settings(opt, "G"))
            self.optimizer_D = torch.optim.Adam(self.netD.parameters(), **builders.adam_settings(opt, "D"))
            self.optimizers = [self.optimizer_G, self.optimizer_D]

    def generator(self, opt):
        """The generator of the options."""
        return builders.build_original(opt)

    def set_input(self, input):
        """Take a batch of pairs."""
        A, B = sides(self.opt)
        if A not in input or B not in input:
            raise ValueError(f"--model {self.opt.model} needs pairs, --dataset_mode {self.opt.dataset_mode} has none; "
                             "--model test runs inputs alone")
        self.condition, self.real_B = self.encoding(self.to_device(input[A])), self.to_device(input[B])
        self.image_paths = input[f"{A}_paths"]

    def forward(self):
        """Translate the inputs."""
        with self.autocast():
            self.fake_B = self.netG(self.condition).float()

    def discriminate(self, image):
        """What the discriminator says of images beside their inputs."""
        with self.autocast():
            return self.netD.discriminate(torch.cat((self.condition, image), 1))

    def optimize_parameters(self):
        """One step: discriminator, then generator."""
        self.forward()
        self.pred_real = self.discriminate(self.real_B)
        self.update_discriminator()
        self.update_generator()

    def update_discriminator(self):
        """Real pairs against fake pairs."""
        losses = self.objective.discriminator(self.pred_real, self.discriminate(self.fake_B.detach()))
        self.set_losses(losses)
        self.backward(0.5 * sum(losses.values()), self.optimizer_D)
        self.step(self.optimizer_D)

    def update_generator(self):
        """Fool the discriminator, and come close to the ground truth."""
        with frozen(self.netD):
            losses = self.generator_losses()
            self.set_losses({f"G_{name}": loss for name, loss in losses.items()})
            self.backward(sum(losses.values()), self.optimizer_G)
        self.step(self.optimizer_G)

    def generator_losses(self):
        """The generator's weighted losses by name."""
        return self.objective.generator(self.discriminate(self.fake_B), self.fake_B, self.real_B, self.pred_real)

    def activations(self):
        """The generator's, and the discriminator's of real and fake pairs."""
        pair = torch.cat((self.condition, self.real_B), 1).shape
        return [(self.netG, self.condition.shape, 1), (self.netD, pair, 2)]

    def compute_visuals(self):
        """The input as an image."""
        self.real_A = self.encoding.picture(self.condition)

    def metric_pairs(self):
        """The translation and its ground truth."""
        return {"fake_B": (self.fake_B, self.real_B)}

"""Pix2Pix (Isola et al., CVPR 2017): train and test the original."""
import torch

from compression.runtime.modes import untracked
from options import original_options

from . import builders
from .base_model import BaseModel
from .conditional_gan import ConditionalGAN


class Pix2PixModel(ConditionalGAN, BaseModel):
    """A generator from input to output image, trained with a conditional GAN loss and L1."""

    defaults = {"netG": "unet_256", "dataset_mode": "aligned"}
    generator_first = False

    @classmethod
    def modify_commandline_options(cls, parser, is_train=True):
        """Add the flags of the originals, with the defaults of the class."""
        parser.set_defaults(**cls.defaults)
        return original_options.add_original_options(parser, is_train)

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        self.visual_names = ["real_A", "fake_B", "real_B"]
        self.model_names = ["G", "D"] if self.isTrain else ["G"]
        self.encoding = builders.build_encoding(opt)
        self.netG = self.to_device(self.build_generator(opt))
        if self.isTrain:
            self.netD = self.to_device(builders.build_original_discriminator(opt))
            self.build_training(opt)

    def build_generator(self, opt):
        """Build the generator from the options."""
        return builders.build_original(opt)

    def set_input(self, input):
        """Set the current batch of pairs (x, y).

        Raises:
            ValueError: the data set has no pairs.
        """
        A, B = self.pair_sides(input)
        self.condition = self.inputs = self.encoding(self.to_device(input[A]))
        self.real_B = self.to_device(input[B])
        self.image_paths = input[f"{A}_paths"]

    def optimize_parameters(self):
        """Take one training step: update the discriminator, then the generator."""
        self.draw_augmentation()
        self.forward()
        self.pred_real = self.discriminate(self.real_B)
        self.update_discriminator()
        self.update_generator()

    def updates(self):
        """With ``--accumulate``, update the discriminator with all micro-batches before the generator."""
        if self.opt.accumulate == 1 or self.generator_first:
            return [self.optimize_parameters]
        self.real_activations = []
        return [self.optimize_discriminator, self.optimize_generator]

    def optimize_discriminator(self):
        """Update only the discriminator."""
        self.draw_augmentation()
        with torch.no_grad(), untracked(self.netG):  # the update of the generator tracks the same batch
            self.forward()
        self.pred_real = self.discriminate(self.real_B)
        if "GAN_Feat" in self.objective.terms:  # the generator is compared with those before the step
            self.real_activations.append([[layer.detach() for layer in layers] for layers in self.pred_real])
        self.update_discriminator()

    def optimize_generator(self):
        """Update only the generator."""
        self.draw_augmentation()
        self.forward()
        if self.real_activations:
            self.pred_real = self.real_activations.pop(0)
        self.update_generator()

    def update_generator(self):
        """Update the generator by the objective of the original."""
        self.backward_generator()
        self.step(self.optimizer_G)

    def compute_visuals(self):
        """Convert the input to an image."""
        self.real_A = self.encoding.picture(self.condition)

    def metric_pairs(self):
        """Return the translation with its ground truth."""
        return {"fake_B": (self.fake_B, self.real_B)}

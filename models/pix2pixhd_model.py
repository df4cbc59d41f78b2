"""Pix2PixHD (Wang et al., CVPR 2018): train and test the original."""
from .pix2pix_model import Pix2PixModel


class Pix2PixHDModel(Pix2PixModel):
    """A generator from label maps to photos, trained with a multi-scale discriminator and feature matching.

    As in upstream's code, both networks are updated with gradients of the same discriminator: the
    generator is updated first.
    """

    defaults = {"netG": "pix2pixhd", "dataset_mode": "label"}
    generator_first = True

    def optimize_parameters(self):
        """Take one training step: update the generator, then the discriminator."""
        self.draw_augmentation()
        self.forward()
        self.pred_real = self.discriminate(self.real_B)
        self.update_generator()
        self.update_discriminator()

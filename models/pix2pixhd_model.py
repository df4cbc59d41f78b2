"""Pix2PixHD (Wang et al., CVPR 2018): train and test the original."""
from .pix2pix_model import Pix2PixModel


class Pix2PixHDModel(Pix2PixModel):
    """Label maps to photos, with a multi-scale discriminator whose activations are matched.

    As upstream, both networks learn from one and the same judgment: the generator's update comes first.
    """

    defaults = {"netG": "pix2pixhd", "dataset_mode": "label"}

    def optimize_parameters(self):
        """One step: generator, then discriminator."""
        self.forward()
        self.pred_real = self.discriminate(self.real_B)
        self.update_generator()
        self.update_discriminator()

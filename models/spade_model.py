"""SPADE / GauGAN (Park et al., CVPR 2019): train and test the original."""
from options import original_options

from .pix2pixhd_model import Pix2PixHDModel


class SpadeModel(Pix2PixHDModel):
    """Label maps to photos, with norms that the label map conditions and spectral norm in both networks."""

    defaults = {"netG": "spade", "dataset_mode": "label"}

    def generator(self, opt):
        """The generator of the options; spectral norm and the norm are those of ``--norm_G``."""
        opt.norm, spectral = original_options.norm_of(opt, "norm_G")
        return original_options.generator_from(opt, spectral)

    def test(self):
        """As upstream, always in eval mode."""
        self.eval()
        super().test()

"""SPADE / GauGAN (Park et al., CVPR 2019): train and test the original."""
import itertools

import torch

from compression import initialize
from compression.originals.style_encoder import StyleEncoder, divergence, draw_style

from . import builders
from .pix2pixhd_model import Pix2PixHDModel


class SpadeModel(Pix2PixHDModel):
    """Label maps to photos, with norms that the label map conditions and spectral norm in both networks.

    With ``--use_vae`` an encoder makes a style code of the photo, which the generator starts from.
    """

    defaults = {"netG": "spade", "dataset_mode": "label"}

    @classmethod
    def modify_commandline_options(cls, parser, is_train=True):
        """Add the flags of the style encoder."""
        parser = super().modify_commandline_options(parser, is_train)
        group = parser.add_argument_group("SPADE's style encoder")
        group.add_argument("--use_vae", action="store_true", help="start from a style code, encoded from the photo")
        group.add_argument("--z_dim", type=int, default=256, help="its length")
        group.add_argument("--norm_E", type=str, default="spectralinstance", help="of the encoder: spectral or not, and the "
                           "norm: instance, batch or none")
        if is_train:
            group.add_argument("--lambda_kld", type=float, default=0.05, help="weight of the KL divergence")
        return parser

    def __init__(self, opt):
        Pix2PixHDModel.__init__(self, opt)
        if not opt.use_vae:
            return
        norm, spectral = builders.parse_norm(opt, "norm_E")
        self.netE = self.to_device(initialize(StyleEncoder(opt.ngf, opt.z_dim, opt.crop_size, norm, spectral), opt.init_type,
                                          opt.init_gain))
        self.model_names.append("E")
        if self.isTrain:
            self.loss_names.append("G_KLD")
            self.optimizer_G = torch.optim.Adam(itertools.chain(self.netG.parameters(), self.netE.parameters()),
                                                **builders.adam_settings(opt, "G"))
            self.optimizers = [self.optimizer_G, self.optimizer_D]

    def generator(self, opt):
        """The generator of the options; spectral norm and the norm are those of ``--norm_G``."""
        opt.norm, spectral = builders.parse_norm(opt, "norm_G")
        style = dict(z_dim=opt.z_dim, crop_size=opt.crop_size,
                     aspect_ratio=getattr(opt, "aspect_ratio", 1.0)) if opt.use_vae else {}
        return builders.build_original(opt, spectral=spectral, **style)

    def forward(self):
        """Translate the inputs, in the style of their photos if there is an encoder."""
        if not self.opt.use_vae:
            return super().forward()
        with self.autocast():
            self.style = tuple(value.float() for value in self.netE(self.real_B))
            self.fake_B = self.netG(self.condition, z=draw_style(*self.style)).float()

    def generator_losses(self):
        """SPADE's, and the style's divergence from the prior."""
        losses = super().generator_losses()
        if self.opt.use_vae:
            losses["KLD"] = self.opt.lambda_kld * divergence(*self.style)
        return losses

    def test(self):
        """As upstream, always in eval mode."""
        self.eval()
        super().test()

"""SPADE / GauGAN (Park et al., CVPR 2019): train and test the original."""
import itertools

from compression import initialize
from compression.originals.style_encoder import StyleEncoder, divergence, draw_style
from compression.runtime.numbers import integer, number

from . import builders
from .pix2pixhd_model import Pix2PixHDModel


class SpadeModel(Pix2PixHDModel):
    """A generator from label maps to photos, with spatially adaptive norms and spectral norm in both
    networks.

    With ``--use_vae``, an encoder maps the photo to a style code, which is the input of the generator's
    first layer.
    """

    defaults = {"netG": "spade", "dataset_mode": "label"}

    @classmethod
    def modify_commandline_options(cls, parser, is_train=True):
        """Add the flags of the style encoder."""
        parser = super().modify_commandline_options(parser, is_train)
        group = parser.add_argument_group("SPADE's style encoder")
        group.add_argument("--use_vae", action="store_true",
                           help="encode a style code from the photo, which the generator starts from")
        group.add_argument("--z_dim", type=integer(1, 65536), default=256, help="length of the style code")
        group.add_argument("--norm_E", type=str, default="spectralinstance",
                           help="norm of the encoder: instance, batch or none, with the prefix "
                                "'spectral' for spectral norm")
        if is_train:
            group.add_argument("--lambda_kld", type=number(0), default=0.05,
                               help="weight of the KL divergence")
        return parser

    def __init__(self, opt):
        Pix2PixHDModel.__init__(self, opt)
        if not opt.use_vae:
            return
        norm, spectral = builders.parse_norm(opt, "norm_E")
        encoder = StyleEncoder(opt.ngf, opt.z_dim, opt.crop_size, norm, spectral)
        self.netE = self.to_device(initialize(encoder, opt.init_type, opt.init_gain))
        self.model_names.append("E")
        if self.isTrain:
            self.loss_names.append("G_KLD")
            parameters = itertools.chain(self.netG.parameters(), self.netE.parameters())
            self.optimizer_G = builders.build_adam(opt, "G", parameters)
            self.optimizers = [self.optimizer_G, self.optimizer_D]

    def build_generator(self, opt):
        """Build the generator from the options, with the norm and spectral norm of ``--norm_G``."""
        opt.norm, spectral = builders.parse_norm(opt, "norm_G")
        settings = {}
        if opt.use_vae:
            aspect_ratio = getattr(opt, "aspect_ratio", 1.0)
            settings = {"z_dim": opt.z_dim, "crop_size": opt.crop_size, "aspect_ratio": aspect_ratio}
        return builders.build_original(opt, spectral=spectral, **settings)

    def forward(self):
        """Translate the inputs; with ``--use_vae`` in the style of their photos."""
        if not self.opt.use_vae:
            super().forward()
            return
        with self.autocast():
            self.style = tuple(value.float() for value in self.netE(self.real_B))
            self.fakes = self.fake_B = self.netG(self.condition, z=draw_style(*self.style)).float()

    def generator_losses(self):
        """Compute the losses of SPADE and, with ``--use_vae``, the KL divergence from the prior."""
        losses = super().generator_losses()
        if self.opt.use_vae:
            losses["KLD"] = self.opt.lambda_kld * divergence(*self.style)
        return losses

    def test(self):
        """Run the networks in eval mode, as upstream always does."""
        self.eval()
        super().test()

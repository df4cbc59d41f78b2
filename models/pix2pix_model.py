"""Pix2Pix (Isola et al., CVPR 2017): train and test the original."""
import torch

from compression import build_discriminator, build_generator, initialize
from compression.losses import Pix2PixObjective
from compression.modes import frozen

from .base_model import BaseModel


class Pix2PixModel(BaseModel):
    """A generator from input to output image, trained with a conditional GAN loss and L1."""

    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        """Batch norm, U-Net and paired data by default, as upstream."""
        parser.set_defaults(norm="batch", netG="unet_256", dataset_mode="aligned")
        if is_train:
            parser.set_defaults(pool_size=0, gan_mode="vanilla")
            parser.add_argument("--lambda_L1", type=float, default=100.0, help="weight for L1 loss")
        return parser

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        self.loss_names = ["G_GAN", "G_L1", "D_real", "D_fake"]
        self.visual_names = ["real_A", "fake_B", "real_B"]
        self.model_names = ["G", "D"] if self.isTrain else ["G"]
        self.netG = self.place(initialize(build_generator(opt.netG, opt.input_nc, opt.output_nc, opt.ngf, opt.norm,
                                                          not opt.no_dropout), opt.init_type, opt.init_gain))
        if self.isTrain:
            self.netD = self.place(initialize(build_discriminator(opt.netD, opt.input_nc + opt.output_nc, opt.ndf,
                                                                  opt.n_layers_D, opt.norm),
                                              opt.init_type, opt.init_gain))
            self.objective = Pix2PixObjective(opt.gan_mode, opt.lambda_L1)
            self.optimizer_G = torch.optim.Adam(self.netG.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
            self.optimizer_D = torch.optim.Adam(self.netD.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
            self.optimizers = [self.optimizer_G, self.optimizer_D]

    def set_input(self, input):
        """Take a batch of pairs."""
        A, B = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        if A not in input or B not in input:
            raise ValueError(f"--model pix2pix needs pairs, --dataset_mode {self.opt.dataset_mode} has none; "
                             "--model test runs inputs alone")
        self.real_A, self.real_B = self.place(input[A]), self.place(input[B])
        self.image_paths = input[f"{A}_paths"]

    def forward(self):
        """Translate the inputs."""
        with self.autocast():
            self.fake_B = self.netG(self.real_A).float()

    def optimize_parameters(self):
        """One step: discriminator, then generator."""
        self.forward()
        self.optimizer_D.zero_grad()
        self.backward_D()
        self.optimizer_D.step()
        self.optimizer_G.zero_grad()
        self.backward_G()
        self.optimizer_G.step()

    def backward_D(self):
        """Real pairs against fake pairs."""
        with self.autocast():
            real = self.netD(torch.cat((self.real_A, self.real_B), 1)).float()
            fake = self.netD(torch.cat((self.real_A, self.fake_B.detach()), 1)).float()
        losses = self.objective.discriminator(real, fake)
        self.set_losses(losses)
        (0.5 * (losses["D_real"] + losses["D_fake"])).backward()

    def backward_G(self):
        """Fool the discriminator, and L1 to the ground truth."""
        with frozen(self.netD):
            with self.autocast():
                prediction = self.netD(torch.cat((self.real_A, self.fake_B), 1)).float()
            losses = self.objective.generator(prediction, self.fake_B, self.real_B)
            self.set_losses({f"G_{name}": loss for name, loss in losses.items()})
            sum(losses.values()).backward()

    def metric_pairs(self):
        """The translation and its ground truth."""
        return {"fake_B": (self.fake_B, self.real_B)}

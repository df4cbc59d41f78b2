"""One generator on a folder of inputs without targets."""
from pathlib import Path

from compression import load_original
from options.ugc_options import checkpoint_tag

from .base_model import BaseModel


class TestModel(BaseModel):
    """Runs ``<epoch>_net_G<model_suffix>.pth`` of a run; what keys and shapes tell needs no flag."""

    __test__ = False  # not a pytest class

    @staticmethod
    def modify_commandline_options(parser, is_train=False):
        """Single images by default."""
        if is_train:
            raise ValueError("--model test only tests")
        parser.set_defaults(dataset_mode="single")
        parser.add_argument("--model_suffix", type=str, default="", help="the checkpoint is "
                            "<epoch>_net_G<model_suffix>.pth")
        return parser

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        self.visual_names = ["real", "fake"]
        path = Path(self.save_dir) / f"{checkpoint_tag(opt)}_net_G{opt.model_suffix}.pth"
        self.netG = self.to_device(load_original(path, no_dropout=None if not opt.no_dropout else True)).train()
        opt.input_nc, opt.output_nc = (self.netG.config[key] for key in ("input_nc", "output_nc"))

    def set_input(self, input):
        """Take a batch of inputs."""
        self.real, self.image_paths = self.to_device(input["A"]), input["A_paths"]

    def forward(self):
        """Translate the inputs."""
        with self.autocast():
            self.fake = self.netG(self.real).float()

    def eval(self):
        """Running statistics and no dropout."""
        self.netG.eval()

    def optimize_parameters(self):
        """There is nothing to optimize."""
        raise ValueError("--model test only tests")

"""Test one generator on a folder of inputs without targets."""
from pathlib import Path

from compression import load_original
from compression.elastic.registry import FAMILIES
from options import original_options
from options.ugc_options import checkpoint_tag

from . import builders
from .base_model import BaseModel


class TestModel(BaseModel):
    """Runs ``<epoch>_net_G<model_suffix>.pth``; the file determines most settings of the network."""

    __test__ = False  # not a pytest class

    @staticmethod
    def modify_commandline_options(parser, is_train=False):
        """Add the flags of label maps and of the file name, and use single images."""
        if is_train:
            raise ValueError("--model test only tests")
        parser.set_defaults(dataset_mode="single")
        original_options.add_input_options(parser, FAMILIES["resnet"])  # images unless --label_nc is given
        parser.add_argument("--model_suffix", type=str, default="",
                            help="suffix of the checkpoint: <epoch>_net_G<model_suffix>.pth")
        return parser

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        self.visual_names = ["real", "fake"]
        path = Path(self.save_dir) / f"{checkpoint_tag(opt)}_net_G{opt.model_suffix}.pth"
        self.read_run(path)
        network = load_original(path, no_dropout=True if opt.no_dropout else None)
        self.netG = self.to_device(network).train()
        opt.input_nc = network.config["input_nc"]
        self.encoding = builders.build_encoding(opt)
        builders.check_channels(self.encoding, network, path)
        opt.output_nc = network.config["output_nc"]

    def set_input(self, input):
        """Set a batch of inputs."""
        self.condition = self.encoding(self.to_device(input["A"]))
        self.image_paths = input["A_paths"]

    def forward(self):
        """Translate the inputs."""
        with self.autocast():
            self.fake = self.generate(self.netG, self.condition).float()

    def compute_visuals(self):
        """Convert the input to an image."""
        self.real = self.encoding.picture(self.condition)

    def eval(self):
        """Use running statistics and no dropout."""
        self.netG.eval()

    def optimize_parameters(self):
        """Reject training."""
        raise ValueError("--model test only tests")

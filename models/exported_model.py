"""Run an exported file on a data set."""
from __future__ import annotations

from compression.deploy.exported import open_exported
from options import original_options
from options.precedence import inherit
from options.ugc_options import sides

from . import builders
from .base_model import BaseModel


class ExportedModel(BaseModel):
    """Runs the file of ``--exported`` without a checkpoint of PyTorch."""

    @staticmethod
    def modify_commandline_options(parser, is_train=False):
        """Add the flags of label maps, and use paired data, which has ground truth."""
        if is_train:
            raise ValueError("--model exported only tests")
        parser.set_defaults(dataset_mode="aligned")
        return inherit(original_options.add_original_options(parser, is_train), is_train)

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        if not getattr(opt, "exported", None):
            raise ValueError("--model exported needs --exported FILE, which export.py writes")
        self.run = None
        self.visual_names = ["real_A", "exported", "real_B"]
        self.encoding = builders.build_encoding(opt)
        self.exported_file = open_exported(opt.exported, opt.runtime, opt.threads)
        self.exported_file.check_encoding(self.encoding)

    def set_input(self, input):
        """Set a batch of inputs and, if the data set has it, the ground truth."""
        A, B = sides(self.opt) if "B" in input else ("A", "B")
        self.item = input[A]
        self.condition = self.encoding(input[A])
        self.image_paths = input[f"{A}_paths"]
        if B in input:
            self.real_B = input[B]
        elif "real_B" in self.visual_names:
            self.visual_names.remove("real_B")

    def forward(self):
        """Translate the inputs."""
        self.exported = self.exported_file(self.item)

    def compute_visuals(self):
        """Convert the input to an image."""
        self.real_A = self.encoding.picture(self.condition)

    def optimize_parameters(self):
        """Reject training."""
        raise ValueError("--model exported only tests")

    def networks(self):
        """Return no network of PyTorch."""
        return {}

    def metric_pairs(self):
        """Return name -> (images, ground truth) for all images that metrics can score."""
        return {"exported": (self.exported, self.real_B)} if "real_B" in self.visual_names else {}

"""What all models share: the host's contract here, training, saving and measuring in training.py."""
from abc import ABC, abstractmethod
from collections import OrderedDict
from pathlib import Path

import torch

from .training import Training


class BaseModel(Training, ABC):
    """A model holds networks ``netX``, losses ``loss_x`` and images, named in the lists below.

    Attributes:
        model_names: X of the networks to save, load and print.
        loss_names: x of the losses to print.
        visual_names: attributes to show, (N, C, H, W) in [-1, 1].
        optimizers: their learning rates are scheduled.
        image_paths: paths of the inputs at hand.
        metric: value for ``--lr_policy plateau``.
    """

    def __init__(self, opt):
        self.opt = opt
        self.isTrain = opt.isTrain
        self.gpu_ids = getattr(opt, "gpu_ids", [])
        self.device = getattr(opt, "device", None) or torch.device(f"cuda:{self.gpu_ids[0]}" if self.gpu_ids else "cpu")
        self.save_dir = str(Path(opt.checkpoints_dir) / opt.name)
        self.loss_names, self.model_names, self.visual_names = [], [], []
        self.optimizers, self.schedulers, self.image_paths = [], [], []
        self.metric = 0

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the model's flags and change defaults; returns the parser."""
        return parser

    @abstractmethod
    def set_input(self, input):
        """Take a batch of the data set."""

    @abstractmethod
    def forward(self):
        """Run the networks on the batch."""

    @abstractmethod
    def optimize_parameters(self):
        """One training step."""

    def eval(self):
        """All networks to eval mode."""
        for _, net in self.named_networks():
            net.eval()

    def test(self):
        """Forward without gradients, then the visuals."""
        with torch.no_grad():
            self.forward()
            self.compute_visuals()

    def compute_visuals(self):
        """Additional images to show."""

    def get_image_paths(self):
        """Paths of the inputs at hand."""
        return self.image_paths

    def get_current_visuals(self):
        """name -> images, in the order of `visual_names`."""
        return OrderedDict((name, getattr(self, name)) for name in self.visual_names)

    def set_requires_grad(self, nets, requires_grad=False):
        """Switch gradients of a network or a list of networks."""
        for net in nets if isinstance(nets, list) else [nets]:
            net.requires_grad_(requires_grad)

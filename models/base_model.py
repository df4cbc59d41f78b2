"""The interface of models that the host's entry points use."""
from abc import ABC, abstractmethod
from pathlib import Path

import torch

from .training import Training


class BaseModel(Training, ABC):
    """Base class of all models: networks ``netX``, losses ``loss_x`` and images, named by the lists below.

    Attributes:
        model_names: X of the networks to save, load and print.
        loss_names: x of the losses to print.
        visual_names: attributes to show, (N, C, H, W) in [-1, 1].
        optimizers: optimizers whose learning rates are scheduled.
        image_paths: paths of the current inputs.
        metric: the value that ``--lr_policy plateau`` monitors: that of the validation after the current
            epoch, or None if there was none.
    """

    def __init__(self, opt):
        self.opt = opt
        self.isTrain = opt.isTrain
        self.gpu_ids = getattr(opt, "gpu_ids", [])
        default_device = f"cuda:{self.gpu_ids[0]}" if self.gpu_ids else "cpu"
        self.device = getattr(opt, "device", None) or torch.device(default_device)
        self.save_dir = str(Path(opt.checkpoints_dir) / opt.name)
        self.loss_names = []
        self.model_names = []
        self.visual_names = []
        self.optimizers = []
        self.schedulers = []
        self.image_paths = []
        self.metric = None

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add the model's flags and defaults to the parser, and return it."""
        return parser

    @abstractmethod
    def set_input(self, input):
        """Set the current batch, an item of the data loader."""

    @abstractmethod
    def forward(self):
        """Run the networks on the batch."""

    @abstractmethod
    def optimize_parameters(self):
        """Take one training step on the batch."""

    def eval(self):
        """Set all networks to eval mode."""
        for _, net in self.named_networks():
            net.eval()

    def test(self):
        """Run the networks without gradients, and compute the visuals."""
        with torch.no_grad():
            self.forward()
            self.compute_visuals()

    def compute_visuals(self):
        """Compute additional images to show."""

    def get_image_paths(self):
        """Return the paths of the current inputs."""
        return self.image_paths

    def set_requires_grad(self, nets, requires_grad=False):
        """Enable or disable the gradients of a network or of a list of networks."""
        for net in nets if isinstance(nets, list) else [nets]:
            net.requires_grad_(requires_grad)

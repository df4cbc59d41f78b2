"""The base class of models of the first generation."""

import os

import torch

from . import networks
from .shared_model import SharedModel, without_instance_statistics


class BaseModel(SharedModel):
    """Devices by ``gpu_ids``; networks come initialised, moved and wrapped."""

    def __init__(self, opt):
        self.opt = opt
        self.gpu_ids = opt.gpu_ids
        self.isTrain = opt.isTrain
        self.device = torch.device(f"cuda:{self.gpu_ids[0]}" if self.gpu_ids else "cpu")
        self.save_dir = os.path.join(opt.checkpoints_dir, opt.name)
        self.loss_names, self.model_names, self.visual_names = [], [], []
        self.optimizers, self.image_paths = [], []
        self.metric = 0

    def setup(self, opt):
        """Schedulers, then the checkpoint where one is asked for, then a print."""
        if self.isTrain:
            self.schedulers = [networks.get_scheduler(optimizer, opt) for optimizer in self.optimizers]
        if not self.isTrain or opt.continue_train:
            self.load_networks(f"iter_{opt.load_iter}" if opt.load_iter > 0 else opt.epoch)
        self.print_networks(opt.verbose)

    def save_networks(self, epoch):
        """Write the networks; those on GPUs have to be wrapped."""
        for name in self.model_names:
            path = os.path.join(self.save_dir, f"{epoch}_net_{name}.pth")
            net = getattr(self, "net" + name)
            if self.gpu_ids and torch.cuda.is_available():
                torch.save(net.module.cpu().state_dict(), path)
                net.cuda(self.gpu_ids[0])
            else:
                torch.save(net.cpu().state_dict(), path)

    def load_networks(self, epoch):
        """Read the networks, strictly."""
        for name in self.model_names:
            path = os.path.join(self.save_dir, f"{epoch}_net_{name}.pth")
            net = getattr(self, "net" + name)
            net = net.module if isinstance(net, torch.nn.DataParallel) else net
            print(f"loading the model from {path}")
            state = torch.load(path, map_location=str(self.device), weights_only=True)
            net.load_state_dict(without_instance_statistics(net, state))

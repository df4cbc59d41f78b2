"""The base class of models of the second generation."""

from pathlib import Path

import torch
import torch.distributed as dist

from . import networks
from .shared_model import SharedModel, without_instance_statistics


class BaseModel(SharedModel):
    """The script says which device; ``setup`` initialises, moves and wraps the networks."""

    def __init__(self, opt):
        self.opt = opt
        self.isTrain = opt.isTrain
        self.save_dir = Path(opt.checkpoints_dir) / opt.name
        self.device = opt.device
        self.loss_names, self.model_names, self.visual_names = [], [], []
        self.optimizers, self.image_paths = [], []
        self.metric = 0

    def setup(self, opt):
        """Initialize, load, move and wrap every network; print them; build the schedulers."""
        for name in self.model_names:
            net = getattr(self, "net" + name)
            net = networks.init_net(net, opt.init_type, opt.init_gain)
            if not self.isTrain or opt.continue_train:
                tag = f"iter_{opt.load_iter}" if opt.load_iter > 0 else opt.epoch
                load_into(net, self.save_dir / f"{tag}_net_{name}.pth", self.device)
            net.to(self.device)
            if dist.is_initialized():
                if opt.norm == "syncbatch":
                    raise ValueError(
                        "sync batch norm is not for several processes here"
                    )  # as in the model of this host
                where = [self.device.index] if self.device.type == "cuda" else None
                net = torch.nn.parallel.DistributedDataParallel(net, device_ids=where)
                dist.barrier()
            setattr(self, "net" + name, net)
        self.print_networks(opt.verbose)
        if self.isTrain:
            self.schedulers = [networks.get_scheduler(optimizer, opt) for optimizer in self.optimizers]

    def save_networks(self, epoch):
        """The first process writes the networks, unwrapped."""
        if dist.is_initialized() and dist.get_rank():
            return
        for name in self.model_names:
            net = getattr(self, "net" + name)
            net = net.module if hasattr(net, "module") else net
            net = net._orig_mod if hasattr(net, "_orig_mod") else net
            torch.save(
                {key: value.cpu() for key, value in net.state_dict().items()},
                self.save_dir / f"{epoch}_net_{name}.pth",
            )

    def load_networks(self, epoch):
        """Read the networks, strictly."""
        for name in self.model_names:
            net = getattr(self, "net" + name)
            net = net.module if isinstance(net, torch.nn.parallel.DistributedDataParallel) else net
            load_into(net, self.save_dir / f"{epoch}_net_{name}.pth", self.device)


def load_into(net, path, device):
    """Read one network, strictly."""
    print(f"loading the model from {path}")
    state = torch.load(path, map_location=str(device), weights_only=True)
    net.load_state_dict(without_instance_statistics(net, state))

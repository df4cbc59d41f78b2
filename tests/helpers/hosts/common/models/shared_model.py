"""What models of both generations offer to the scripts."""

from abc import ABC, abstractmethod
from collections import OrderedDict

import torch


class SharedModel(ABC):
    """Everything but devices, setting up, saving and loading."""

    @staticmethod
    def modify_commandline_options(parser, is_train):
        """Add flags and change defaults; returns the parser."""
        return parser

    @abstractmethod
    def set_input(self, input):
        """Take a batch."""

    @abstractmethod
    def forward(self):
        """Run the networks."""

    @abstractmethod
    def optimize_parameters(self):
        """One training step."""

    def eval(self):
        """All networks to eval mode."""
        for name in self.model_names:
            getattr(self, "net" + name).eval()

    def test(self):
        """Forward and visuals, without gradients."""
        with torch.no_grad():
            self.forward()
            self.compute_visuals()

    def compute_visuals(self):
        """Further images to show."""

    def get_image_paths(self):
        """Where the inputs are from."""
        return self.image_paths

    def update_learning_rate(self):
        """Step the schedulers."""
        old = self.optimizers[0].param_groups[0]["lr"]
        for scheduler in self.schedulers:
            scheduler.step(self.metric) if self.opt.lr_policy == "plateau" else scheduler.step()
        print(f"learning rate {old:.7f} -> {self.optimizers[0].param_groups[0]['lr']:.7f}")

    def get_current_visuals(self):
        """name -> image."""
        return OrderedDict((name, getattr(self, name)) for name in self.visual_names if isinstance(name, str))

    def get_current_losses(self):
        """name -> float."""
        return OrderedDict(
            (name, float(getattr(self, "loss_" + name))) for name in self.loss_names if isinstance(name, str)
        )

    def print_networks(self, verbose):
        """Sizes of the networks."""
        print("---------- Networks initialized -------------")
        for name in self.model_names:
            net = getattr(self, "net" + name)
            if verbose:
                print(net)
            print(
                f"[Network {name}] Total number of parameters : "
                f"{sum(p.numel() for p in net.parameters()) / 1e6:.3f} M"
            )
        print("-----------------------------------------------")

    def set_requires_grad(self, nets, requires_grad=False):
        """Whether the parameters of networks get gradients."""
        for net in nets if isinstance(nets, list) else [nets]:
            for parameter in net.parameters() if net is not None else ():
                parameter.requires_grad = requires_grad


def without_instance_statistics(net, state):
    """A stored state as today's instance norms want it: without the statistics that old ones kept."""
    if hasattr(state, "_metadata"):
        del state._metadata
    for prefix, module in net.named_modules():
        if type(module).__name__.startswith("InstanceNorm"):
            for key in ("running_mean", "running_var"):
                if getattr(module, key, None) is None:
                    state.pop(f"{prefix}.{key}", None)
            state.pop(f"{prefix}.num_batches_tracked", None)
    return state

"""What all models need to train, save, load and measure, whatever the host's base class."""
from __future__ import annotations

import torch

from compression.elastic.layers import share_batch_norms
from compression.runtime import distributed
from options.ugc_options import checkpoint_tag

from .checkpointing import Checkpointing
from .measuring import Measuring
from .stepping import Stepping, build_scheduler


class Training(Stepping, Checkpointing, Measuring):
    """Mixin of our BaseModel and, for the models of UGC, of the BaseModel of an upstream checkout.

    It relies only on the attributes of the host's interface, which the docstring of BaseModel lists.
    """

    def setup(self, opt):
        """Build the schedulers for training, or load the checkpoints for testing; then print the networks."""
        if self.isTrain:
            metric = self.decisive_metric()
            self.schedulers = [build_scheduler(optimizer, opt, metric) for optimizer in self.optimizers]
            distributed.broadcast_weights(net for _, net in self.named_networks())
            torch.manual_seed(opt.seed + 1_000_003 * distributed.rank())  # different dropout masks
            if getattr(opt, "ema", 0):
                self.start_average(opt.ema)
            if getattr(opt, "compile", False):
                self.compile()
        else:
            self.load_networks(checkpoint_tag(opt))
        self.print_networks(opt.verbose)

    def to_device(self, item):
        """Move a tensor or network to the model's device, in the memory layout of ``--channels_last``.

        For ``--norm syncbatch``, the batch norms of a network then share their statistics over the processes.
        """
        layout = torch.preserve_format
        if getattr(self.opt, "channels_last", False):
            layout = torch.channels_last
        if isinstance(item, torch.nn.Module):
            if getattr(self.opt, "norm", None) == "syncbatch":
                share_batch_norms(item)
            if layout is torch.channels_last:
                return item.to(self.device, memory_format=layout)
            return item.to(self.device)
        if item.dim() != 4:
            return item.to(self.device)
        return item.to(self.device, memory_format=layout, non_blocking=True)

    def named_networks(self):
        """Return (X, netX) for every X in `model_names`."""
        return [(name, getattr(self, f"net{name}")) for name in self.model_names]

    def print_networks(self, verbose):
        """Print the number of parameters of every network and, if `verbose`, its layers."""
        print("---------- Networks initialized -------------")
        for name, net in self.named_networks():
            if verbose:
                print(net)
            millions = sum(p.numel() for p in net.parameters()) / 1e6
            print(f"[Network {name}] Total number of parameters : {millions:.3f} M")
        print("-----------------------------------------------")

"""Data sets of the second generation, shared out between processes."""

import os

from torch.utils.data.distributed import DistributedSampler

from .shared_loader import SharedLoader, find_dataset_using_name, get_option_setter  # noqa: F401


class CustomDatasetDataLoader(SharedLoader):
    """Each of several processes has its part of the data set."""

    def sampler(self):
        """Under torchrun, the process's part."""
        return (
            DistributedSampler(self.dataset, shuffle=not self.opt.serial_batches)
            if "LOCAL_RANK" in os.environ
            else None
        )

    def set_epoch(self, epoch):
        """Another order in every epoch; the data set itself is not told."""
        if isinstance(self.dataloader.sampler, DistributedSampler):
            self.dataloader.sampler.set_epoch(epoch)


def create_dataset(opt):
    """The loader of ``--dataset_mode``."""
    return CustomDatasetDataLoader(opt).load_data()

"""Load the batches of a data set in an order that is a function of seed and epoch."""
import random
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from compression.runtime import distributed
from util.signals import outlive_the_group

from .cache import loading_processes
from .image_folder import limit_pixels, pixel_limit


class EpochSampler(Sampler):
    """Sample the batches of one epoch, as lists of indices. The order is a function of seed and epoch.

    If several processes train, each gets an equal share of every batch. Indices from the beginning of the
    epoch are appended to the last batch until its shares are equal, too.

    Args:
        length: number of items in an epoch.
        batch_size: of each process.
        shuffle: whether each epoch has a random order.
        seed: of the random orders.
        rank: rank of this process.
        world_size: number of processes.
    """

    def __init__(self, length, batch_size, shuffle, seed, rank=0, world_size=1):
        self.length = length
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.start = 0  # items of the epoch that are skipped

    def smallest_batch(self):
        """Return the number of items in the smallest batch of a complete epoch: its last one."""
        last = self.length % (self.batch_size * self.world_size)
        return -(-last // self.world_size) or self.batch_size

    def __len__(self):
        """The number of batches from `start` on."""
        return -(-(self.length - self.start) // (self.batch_size * self.world_size))  # rounded up

    def __iter__(self):
        order = list(range(self.length))
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length).tolist()
        remaining = order[self.start:]
        padding = -len(remaining) % self.world_size
        remaining += [order[i % self.length] for i in range(padding)]
        step = self.batch_size * self.world_size
        for first in range(0, len(remaining), step):
            batch = remaining[first:first + step]
            share = len(batch) // self.world_size
            yield batch[self.rank * share:(self.rank + 1) * share]


class _Batches(Sampler):
    """The batches of a sampler, each with its epoch, which the processes that load images do not know."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __len__(self):
        return len(self.sampler)

    def __iter__(self):
        for indices in self.sampler:
            yield self.sampler.seed, self.sampler.epoch, indices


class _ItemsOfEpoch(Dataset):
    """The items of a data set, whose epoch comes with each batch of indices.

    The processes that load images are kept from epoch to epoch, with the images in their caches. Their global
    random generators are seeded again in each epoch.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        self.seeded = None  # the epoch for which the generators of this process are seeded

    def __getitems__(self, batch):
        seed, epoch, indices = batch
        worker = get_worker_info()
        if worker is not None and self.seeded != epoch:
            self.seeded = epoch
            self.dataset.set_epoch(epoch)
            _seed(int(np.random.SeedSequence((seed, epoch, worker.id)).generate_state(1)[0]))
        return [self.dataset[index] for index in indices]


class DatasetLoader:
    """Iterate over the batches of an epoch.

    In training, each process gets its share of every batch. Otherwise every process gets all batches, so that
    metrics cover the complete data set.

    Attributes:
        dataset: the data set.
        dataloader: PyTorch's loader.
    """

    def __init__(self, dataset, opt):
        self.dataset = dataset
        self.opt = opt
        rank = distributed.rank() if opt.isTrain else 0
        world_size = distributed.world_size() if opt.isTrain else 1
        self.sampler = EpochSampler(len(self), opt.batch_size, not opt.serial_batches, opt.seed, rank,
                                    world_size)
        prepare = partial(_prepare_worker, pixel_limit())
        processes = loading_processes(opt)
        device = getattr(opt, "device", None)
        self.dataloader = DataLoader(_ItemsOfEpoch(dataset), batch_sampler=_Batches(self.sampler),
                                     worker_init_fn=prepare, num_workers=processes,
                                     persistent_workers=processes > 0,
                                     pin_memory=device is not None and device.type == "cuda")

    def __len__(self):
        """The number of images in an epoch."""
        return int(min(len(self.dataset), self.opt.max_dataset_size))

    def __iter__(self):
        """Yield the batches of the epoch in order."""
        yield from self.dataloader

    def set_epoch(self, epoch, skip=0):
        """Choose the epoch of the next iteration.

        Args:
            epoch: its number.
            skip: images at its beginning, of all processes together, that are not loaded.
        """
        self.sampler.epoch = epoch
        self.sampler.start = skip
        self.dataset.set_epoch(epoch)


def _prepare_worker(max_pixels, worker_id):
    """Prepare a worker process: limit the pixels of an image."""
    outlive_the_group()
    limit_pixels(max_pixels)


def _seed(seed):
    """Seed the global generators of Python, NumPy, and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)

"""Data sets by name: ``--dataset_mode foo_bar`` is the class FooBarDataset in data/foo_bar_dataset.py."""
import importlib
import random
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from compression.runtime import distributed
from util.signals import outlive_the_group

from .base_dataset import BaseDataset
from .check import report


def names():
    """The values of ``--dataset_mode``."""
    return sorted(p.name[:-len("_dataset.py")] for p in Path(__file__).parent.glob("*_dataset.py")
                  if p.stem != "base_dataset")


def find_dataset_using_name(dataset_name):
    """The data set class of ``--dataset_mode``.

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    if dataset_name not in names():
        raise ValueError(f"--dataset_mode {dataset_name} is unknown, known: {', '.join(names())}")
    module = importlib.import_module(f"data.{dataset_name}_dataset")
    wanted = dataset_name.replace("_", "") + "dataset"
    for name, found in vars(module).items():
        if name.lower() == wanted and isinstance(found, type) and issubclass(found, BaseDataset):
            return found
    raise ValueError(f"data/{dataset_name}_dataset.py holds no subclass of BaseDataset named {wanted} (in any case)")


def get_option_setter(dataset_name):
    """The data set's ``modify_commandline_options``."""
    return find_dataset_using_name(dataset_name).modify_commandline_options


def create_dataset(opt):
    """Build and check the data set of ``--dataset_mode`` and its loader; with ``--check_data`` the program ends here.

    Raises:
        ValueError: if the data set has missing or unreadable files; the message lists them.
    """
    return DatasetLoader(opt)


class EpochSampler(Sampler):
    """Batches of indices of one epoch, their order a function of seed and epoch, from a given position on.

    Of several `processes` that train, number `rank` gets its part of every batch; the last batch is filled up from the
    epoch's beginning until all parts are of one size.
    """

    def __init__(self, length, batch_size, shuffle, seed, rank=0, processes=1):
        self.length, self.shuffle, self.seed, self.epoch, self.start = length, shuffle, seed, 0, 0
        self.batch_size, self.rank, self.processes = batch_size, rank, processes

    def __len__(self):
        return -(-(self.length - self.start) // (self.batch_size * self.processes))

    def __iter__(self):
        order = list(range(self.length))
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length).tolist()
        left = order[self.start:]
        left += [order[i % self.length] for i in range(-len(left) % self.processes)]
        step = self.batch_size * self.processes
        for start in range(0, len(left), step):
            batch = left[start:start + step]
            share = len(batch) // self.processes
            yield batch[self.rank * share:(self.rank + 1) * share]


class DatasetLoader:
    """Iterates over the batches of an epoch; the data set is `dataset`, the loader `dataloader`."""

    def __init__(self, opt):
        self.opt = opt
        self.dataset = find_dataset_using_name(opt.dataset_mode)(opt)
        found = self.dataset.check()
        if getattr(opt, "check_data", False):
            print(report(self.dataset, found))
            raise SystemExit(0)
        print(f"dataset [{type(self.dataset).__name__}] was created")
        job = (distributed.rank(), distributed.world_size()) if opt.isTrain else (0, 1)  # what is measured is seen whole
        self.sampler = EpochSampler(len(self), opt.batch_size, not opt.serial_batches, opt.seed, *job)
        self.dataloader = DataLoader(self.dataset, batch_sampler=self.sampler,
                                     num_workers=min(int(opt.num_threads), torch.get_num_threads()),
                                     worker_init_fn=_seed_worker)

    def __len__(self):
        """Images in an epoch."""
        return int(min(len(self.dataset), self.opt.max_dataset_size))

    def __iter__(self):
        """Batches, in the order of the epoch."""
        yield from self.dataloader

    def set_epoch(self, epoch, skip=0):
        """Choose the epoch of the next iteration and how many of its images, of all processes, are left out, unread."""
        self.sampler.epoch, self.sampler.start = epoch, skip
        self.dataset.set_epoch(epoch)


def _seed_worker(worker_id):
    outlive_the_group()
    seed = torch.initial_seed() % 2 ** 32
    random.seed(seed)
    np.random.seed(seed)

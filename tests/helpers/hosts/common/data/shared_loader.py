"""Data sets by name, and their loader."""

import importlib

import torch

from data.base_dataset import BaseDataset


def find_dataset_using_name(dataset_name):
    """The class of ``--dataset_mode``; the last that fits in the module's namespace."""
    module = importlib.import_module(f"data.{dataset_name}_dataset")
    wanted, found = dataset_name.replace("_", "") + "dataset", None
    for name, value in vars(module).items():
        if name.lower() == wanted and isinstance(value, type) and issubclass(value, BaseDataset):
            found = value
    if found is None:
        raise NotImplementedError(
            f"data/{dataset_name}_dataset.py has no subclass of BaseDataset that is called {wanted}"
        )
    return found


def get_option_setter(dataset_name):
    """The data set's ``modify_commandline_options``."""
    return find_dataset_using_name(dataset_name).modify_commandline_options


class SharedLoader:
    """Yields batches of the data set of ``--dataset_mode``, of at most ``--max_dataset_size`` items."""

    def __init__(self, opt):
        self.opt = opt
        self.dataset = find_dataset_using_name(opt.dataset_mode)(opt)
        print(f"dataset [{type(self.dataset).__name__}] was created")
        sampler = self.sampler()
        self.dataloader = torch.utils.data.DataLoader(
            self.dataset,
            batch_size=opt.batch_size,
            sampler=sampler,
            shuffle=sampler is None and not opt.serial_batches,
            num_workers=int(opt.num_threads),
        )

    def sampler(self):
        """None: the loader shuffles by itself."""

    def load_data(self):
        """The loader itself."""
        return self

    def __len__(self):
        return min(len(self.dataset), self.opt.max_dataset_size)

    def __iter__(self):
        for i, batch in enumerate(self.dataloader):
            if i * self.opt.batch_size >= self.opt.max_dataset_size:
                break
            yield batch

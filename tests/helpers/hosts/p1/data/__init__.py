"""Data sets of the first generation."""

from .shared_loader import SharedLoader, find_dataset_using_name, get_option_setter  # noqa: F401


class CustomDatasetDataLoader(SharedLoader):
    """The loader of one process."""


def create_dataset(opt):
    """The loader of ``--dataset_mode``."""
    return CustomDatasetDataLoader(opt).load_data()

"""Find data sets by name: ``--dataset_mode foo_bar`` is ``FooBarDataset`` in data/foo_bar_dataset.py."""
from collections import Counter

from util.find_class import class_choices, find_class

from .base_dataset import BaseDataset
from .batch_sizes import require_equal_sizes, require_network_sizes
from .check import format_report
from .loader import DatasetLoader

_ADVICE = {
    "unaligned": "its images have no pairs, which the losses of this repository need. Use --dataset_mode "
                 "aligned for pairs (the same file names in <phase>A and <phase>B), or --dataset_mode single "
                 "to translate the images of a folder"}


def names():
    """List the values of ``--dataset_mode``."""
    return class_choices(__path__, "dataset")


def find_dataset_using_name(dataset_name):
    """Find the class of ``--dataset_mode``.

    Raises:
        ValueError: if there is no such data set. The message lists the known ones.
    """
    return find_class("--dataset_mode", dataset_name, "data", "dataset", BaseDataset, _ADVICE)


def get_option_setter(dataset_name):
    """Return the ``modify_commandline_options`` of a data set."""
    return find_dataset_using_name(dataset_name).modify_commandline_options


def create_dataset(opt):
    """Build the data set of ``--dataset_mode``, check its files, and build its loader.

    With ``--check_data``, print the report of the check and exit.

    Raises:
        ValueError: if files are missing or unreadable. The message lists them.
    """
    dataset = find_dataset_using_name(opt.dataset_mode)(opt)
    report = dataset.check()
    dataset.item_sizes = report.item_sizes if report else Counter()
    if opt.isTrain and report is not None:
        require_equal_sizes(opt, report.item_sizes, has_unlabeled=getattr(dataset, "n_unlabeled", 0) > 0)
        require_network_sizes(opt, report.item_sizes)
    if getattr(opt, "check_data", False):
        print(format_report(dataset, report))
        raise SystemExit(0)
    print(f"dataset [{type(dataset).__name__}] was created")
    return DatasetLoader(dataset, opt)

"""Label maps of images, for the mIoU of generated images."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from compression.metrics import SegmentationNetwork
from compression.metrics.segmentation import VOID
from data.ids import read_ids
from data.item_names import files_by_name, find_partners
from data.label_files import label_files


class LabelMaps:
    """Class ids of images, looked up by name; 255 is void.

    They are read from ``--labels``, else from the data set at the resolution of its files, else from a batch
    of the data set whose inputs are label maps.

    Args:
        opt: parsed options.
        network: the segmentation network whose predictions are compared with the label maps.
        dataset: the data set with the labels; with ``--labels``, the one whose batches are scored.
        names: the names of the images; None for those of `dataset`.

    Raises:
        ValueError: if there are no label maps, or it is not clear which belongs to an image.
    """

    def __init__(self, opt: Namespace, network: SegmentationNetwork, dataset=None,
                 names: Iterable[str] | None = None):
        self.opt = opt
        self.network = network
        self.read = None  # name -> function that reads its label ids; None if they are taken from batches
        self.names: dict[str, str] = {}  # path of an item of the data set -> its name
        flag = "--labels"
        if opt.labels:
            folder, paths = label_files(opt.labels, opt.phase if dataset is None else dataset.opt.phase)
            files = files_by_name(paths, folder, flag)
            readers = {name: partial(read_ids, path) for name, path in files.items()}
        elif hasattr(dataset, "label_ids"):
            flag = "the label maps of the data set"
            readers = {name: partial(dataset.label_ids, i) for i, name in enumerate(dataset.item_names())}
        elif getattr(opt, "label_nc", 0):
            return
        else:
            raise ValueError("the inputs are not label maps; give --labels, a folder of label maps named "
                             "like the images")
        if dataset is not None:
            self.names = dict(zip(dataset.item_paths(), dataset.item_names(), strict=True))
        partners = find_partners(self.names.values() if names is None else names, readers, flag)
        self.read = {name: readers[partner] for name, partner in partners.items()}

    def __call__(self, batch: dict[str, Any], side: str) -> list[np.ndarray]:
        """Return the class ids (H, W) of each item of a batch; `side`, A or B, is that of its inputs."""
        if self.read is None:
            return [self.classes(ids[0].numpy()) for ids in batch[side]]
        return [self.of(self.names[path]) for path in batch[f"{side}_paths"]]

    def of(self, name: str) -> np.ndarray:
        """Return the class ids (H, W) of an image, given by its name.

        Raises:
            ValueError: if there is no label map, or it holds an id that is not a class.
        """
        if name not in self.read:
            raise ValueError(f"--labels: no label map is named like {name}")
        try:
            return self.classes(np.asarray(self.read[name]()))
        except ValueError as error:
            raise ValueError(f"label map of {name}: {error}") from None

    def missing(self, names: Iterable[str]) -> list[str]:
        """List those of the names that have no label map."""
        return [name for name in names if name not in self.read]

    def classes(self, ids: np.ndarray) -> np.ndarray:
        """Convert label ids to class ids; the data set's class for unknown becomes void."""
        if getattr(self.opt, "contain_dontcare_label", False) and not self.opt.labels:
            ids = np.where(ids == self.opt.label_nc, VOID, ids)
        return self.network.targets(ids)

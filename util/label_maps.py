"""Label maps of images, for the mIoU of generated images."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from compression.metrics import SegmentationNetwork
from compression.metrics.segmentation import VOID
from data.ids import read_ids, stem
from data.image_folder import make_dataset


class LabelMaps:
    """Class ids of images, looked up by name; 255 is void.

    They are read from ``--labels``, else from the data set at the resolution of its files, else from a batch
    of the data set whose inputs are label maps.

    Args:
        opt: parsed options.
        network: the segmentation network whose predictions are compared with the label maps.
        dataset: the data set of the images.

    Raises:
        ValueError: if there are no label maps.
    """

    def __init__(self, opt: Namespace, network: SegmentationNetwork, dataset=None):
        self.opt = opt
        self.network = network
        self.read = None  # name -> function that reads its label ids; None if they are taken from batches
        if opt.labels:
            files = {stem(path): path for path in make_dataset(opt.labels, flag="--labels")}
            self.read = {name: partial(read_ids, path) for name, path in files.items()}
        elif hasattr(dataset, "label_ids"):
            self.read = {stem(dataset.name(i)): partial(dataset.label_ids, i) for i in range(len(dataset))}
        elif not getattr(opt, "label_nc", 0):
            raise ValueError("the inputs are not label maps; give --labels, a folder of label maps named "
                             "like the images")

    def __call__(self, batch: dict[str, Any], side: str) -> np.ndarray:
        """Return the class ids (N, H, W) of a batch; `side`, A or B, is that of its inputs."""
        if self.read is None:
            return np.stack([self.classes(ids[0].numpy()) for ids in batch[side]])
        return np.stack([self.of(path) for path in batch[f"{side}_paths"]])

    def of(self, name: str) -> np.ndarray:
        """Return the class ids (H, W) of an image, given by its name or path.

        Raises:
            ValueError: if there is no label map, or it holds an id that is not a class.
        """
        if stem(name) not in self.read:
            raise ValueError(f"--labels: no label map is named like {Path(name).name}")
        try:
            return self.classes(np.asarray(self.read[stem(name)]()))
        except ValueError as error:
            raise ValueError(f"label map of {stem(name)}: {error}") from None

    def missing(self, names: Iterable[str]) -> list[str]:
        """List those of the names that have no label map."""
        return [name for name in names if stem(name) not in self.read]

    def classes(self, ids: np.ndarray) -> np.ndarray:
        """Convert label ids to class ids; the data set's class for unknown becomes void."""
        if getattr(self.opt, "contain_dontcare_label", False) and not self.opt.labels:
            ids = np.where(ids == self.opt.label_nc, VOID, ids)
        return self.network.targets(ids)

"""What goes into an exported generator and what comes out: value ranges, types, label maps, and sizes."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..runtime.encoding import LabelEncoding
from ..runtime.lab import colorizes
from ..runtime.text import unknown

# the values of an image -> its type, and scale and shift from [-1, 1] to them
VALUES = {"signed": (np.float32, 1.0, 0.0), "unit": (np.float32, 0.5, 0.5), "uint8": (np.uint8, 127.5, 127.5)}
ONE_HOT = "one_hot"
IDS = "ids"
LABEL_VALUES = (ONE_HOT, IDS)


@dataclass(frozen=True)
class Interface:
    """The inputs and the output of an exported file.

    Attributes:
        input_nc, output_nc: channels of the generator's input and output.
        input_values: ``signed`` (float32 in [-1, 1]), ``unit`` (float32 in [0, 1]), or ``uint8`` (0 to 255)
            for images; ``one_hot`` (float32) or ``ids`` (int32 class ids, and int32 instance ids as a second
            input) for label maps.
        output_values: signed, unit, or uint8.
        classes: number of classes of the label maps, including "unknown"; 0 for images.
        dontcare: whether the last class is "unknown", which has the id 255, too.
        instance: whether there are instance ids.
        pad: whether the file pads images to the stride and crops the output.

    Raises:
        ValueError: values that the generator cannot have.
    """

    input_nc: int
    output_nc: int
    input_values: str = "signed"
    output_values: str = "signed"
    classes: int = 0
    dontcare: bool = False
    instance: bool = False
    pad: bool = False

    def __post_init__(self) -> None:
        accepted = LABEL_VALUES if self.classes else tuple(VALUES)
        if self.input_values not in accepted:
            kind = "label maps" if self.classes else "images"
            raise ValueError(f"this generator takes {kind}; " + unknown(
                f"--input_values {self.input_values}", self.input_values, accepted))
        if self.output_values not in VALUES:
            raise ValueError(unknown(f"--output_values {self.output_values}", self.output_values, VALUES))
        if colorizes(self.input_nc, self.output_nc) and {self.input_values, self.output_values} != {"signed"}:
            raise ValueError("a generator of colorization maps lightness to the colors a and b of Lab, both "
                             "in [-1, 1]; --input_values and --output_values must be signed, got "
                             f"{self.input_values} and {self.output_values}")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Interface:
        """Read the interface from the metadata of an exported file.

        Raises:
            ValueError: if the file has none, as those of other programs.
        """
        stored = metadata.get("interface")
        names = {field.name for field in fields(cls)}
        if not isinstance(stored, dict) or not {"input_nc", "output_nc"} <= stored.keys() <= names:
            raise ValueError("the file does not describe its inputs, as the files of export.py do")
        return cls(**stored)

    def metadata(self) -> dict[str, Any]:
        """Return plain data for :meth:`from_metadata`."""
        return asdict(self)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        if self.input_values != IDS:
            return ("labels" if self.classes else "image",)
        return ("labels", "instances") if self.instance else ("labels",)

    @property
    def encoding(self) -> LabelEncoding:
        """The encoding of label maps."""
        return LabelEncoding(self.classes - self.dontcare, self.dontcare, self.instance)

    def arrays(self, item: Tensor) -> tuple[np.ndarray, ...]:
        """Convert an item of a data set to the inputs of the file.

        Args:
            item: (N, input_nc, H, W) images in [-1, 1], or label maps: (N, 1 or 2, H, W) integers, class ids
                and, with `instance`, instance ids.

        Returns:
            One array for each of :attr:`input_names`, contiguous.
        """
        if self.input_values == IDS:
            maps = item.to(torch.int32).numpy()
            return tuple(np.ascontiguousarray(maps[:, i:i + 1]) for i in range(len(self.input_names)))
        if self.classes:
            return (self.encoding(item).numpy(),)
        dtype, scale, shift = VALUES[self.input_values]
        values = item.numpy() * np.float32(scale) + np.float32(shift)
        if dtype is np.uint8:
            values = np.clip(np.rint(values), 0, 255)
        return (np.ascontiguousarray(values, dtype=dtype),)

    def condition(self, item: Tensor) -> Tensor:
        """Convert an item of a data set, as for :meth:`arrays`, to the input of the generator."""
        return self.encoding(item) if self.classes else item

    def image(self, output: np.ndarray) -> Tensor:
        """Convert the output of the file to images (N, output_nc, H, W) in [-1, 1], float32."""
        _, scale, shift = VALUES[self.output_values]
        return (torch.from_numpy(np.asarray(output)).float() - shift) / scale

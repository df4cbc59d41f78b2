"""What all elastic generators share: construction settings, the maximum architecture and the checks around forward."""
from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from .arch import Arch


class ElasticGenerator(nn.Module):
    """A generator built for a maximum :class:`Arch` that also runs every smaller one.

    Subclasses set `family`, build their layers in ``__init__`` for ``self.full`` and implement :meth:`run`.

    Attributes:
        full: the architecture of the whole network.
        config: the other constructor arguments (JSON-able), enough to rebuild the network with `full`.
        stride: sides of an input image must be multiples of this many pixels.
        min_strides: they must be at least so many strides.
        extra_settings: constructor arguments that not every family has.
    """

    family: ClassVar[str]
    stride: int = 1
    min_strides: ClassVar[int] = 1
    extra_settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, full: Arch, **config):
        super().__init__()
        if full.family != self.family:
            raise ValueError(f"{type(self).__name__} builds architectures of family '{self.family}', "
                             f"got one of family '{full.family}'")
        for name in ("input_nc", "output_nc"):
            if name in config and config[name] < 1:
                raise ValueError(f"--{name} must be at least 1, got {config[name]}")
        self.full, self.config = full, config

    def forward(self, x: Tensor, arch: Arch | None = None, taps: tuple[str, ...] = (), **inputs):
        """Translate images.

        Args:
            x: (N, input_nc, H, W), images in [-1, 1]; H and W multiples of `stride`.
            arch: which sub-network runs; None is the full network, with nothing sliced.
            taps: names of inner activations to return too, from :meth:`tap_names`.
            inputs: further inputs of the family, such as SPADE's style code `z`.

        Returns:
            (N, output_nc, H, W) in [-1, 1]; with `taps` a pair of it and the activations in the order of `taps`.

        Raises:
            ValueError: for sides that the network cannot take, an architecture that is no slice of it, or a tap that
                does not exist.
        """
        least = self.min_strides * self.stride
        if any(side % self.stride or side < least for side in x.shape[-2:]):
            near = tuple(max(least, round(side / self.stride) * self.stride) for side in x.shape[-2:])
            raise ValueError(f"the generator takes sides that are multiples of {self.stride}"
                             + f" and at least {least}" * (least > self.stride)
                             + f", got {x.shape[-2]}x{x.shape[-1]} (HxW); nearest: {near[0]}x{near[1]}")
        if arch is not None and not arch.fits(self.full):
            raise ValueError(f"{arch} is no slice of the network, which is {self.full}")
        tapped: dict[str, Tensor] = {}
        image = self.run(x, arch or self.full, arch is None or arch == self.full, _Taps(taps, tapped), **inputs)
        if not taps:
            return image
        missing = [name for name in taps if name not in tapped]
        if missing:
            raise ValueError(f"no tap named {', '.join(missing)} in this architecture, known: "
                             f"{', '.join(self.tap_names(arch))}")
        return image, [tapped[name] for name in taps]

    @property
    def example_input_size(self) -> tuple[int, int]:
        """A small (height, width) that the network takes."""
        return 2 * self.stride, 2 * self.stride

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap: _Taps) -> Tensor:
        """The forward pass of the slice `arch`; `is_full` says that it is the full network (norms track statistics and
        dropout acts only there); ``tap(name, tensor)`` offers an activation."""
        raise NotImplementedError

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        """The default distillation points of `arch`: activations that exist at every width and depth."""
        raise NotImplementedError

    @classmethod
    def settings_from_flags(cls, flags: Mapping) -> dict:
        """Those of `flags` of a command line that are constructor arguments of this family alone."""
        return {name: flags[name] for name in cls.extra_settings if flags.get(name) is not None}

    @staticmethod
    def ambiguous_settings(config: Mapping) -> dict[str, tuple]:
        """Constructor arguments that keys and shapes of a checkpoint did not tell (`config` holds those they did) -> the
        values they can have, () for any."""
        return {}

    @staticmethod
    def read_architecture(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Arch, dict] | None:
        """The architecture and constructor arguments that a state dict of this class shows by its keys and shapes
        (name -> shape); None if it is none of this class."""
        raise NotImplementedError


class _Taps:
    """Collects the activations that were asked for."""

    def __init__(self, wanted: tuple[str, ...], found: dict[str, Tensor]):
        self.wanted, self.found = frozenset(wanted), found

    def __call__(self, name: str, value: Tensor) -> Tensor:
        if name in self.wanted:
            self.found[name] = value
        return value

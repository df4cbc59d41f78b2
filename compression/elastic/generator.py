"""The base class of all elastic generators: constructor settings, the full architecture, and input checks."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from .arch import Arch
from .layers import Shapes

Tap = Callable[[str, Tensor], Tensor]  # ``tap(name, activation)`` returns the activation


class ElasticGenerator(nn.Module):
    """A generator that is built for a full-size :class:`Arch` and can run every smaller one.

    Subclasses set `family`, build their layers in ``__init__`` for ``self.full`` and implement :meth:`run`,
    :meth:`tap_names` and :meth:`read_architecture`.

    Attributes:
        family: name of the family.
        full: the full-size architecture.
        config: the other constructor arguments (JSON-able); with `full` they suffice to rebuild the network.
        stride: input height and width must be multiples of this (pixels).
        min_strides: smallest valid height and width, in units of `stride`.
        extra_settings: names of the constructor arguments besides input_nc, output_nc and norm.
        meta: plain data from the file of a student; only :func:`compression.load_student` sets it.
    """

    family: ClassVar[str]
    stride: int = 1
    min_strides: ClassVar[int] = 1
    extra_settings: ClassVar[tuple[str, ...]] = ()
    meta: dict[str, Any]

    def __init__(self, full: Arch, **config: Any):
        super().__init__()
        if full.family != self.family:
            raise ValueError(f"{type(self).__name__} builds architectures of family '{self.family}', "
                             f"got one of family '{full.family}'")
        for name in ("input_nc", "output_nc"):
            if name in config and config[name] < 1:
                raise ValueError(f"--{name} must be at least 1, got {config[name]}")
        self.full = full
        self.config = config

    def forward(self, x: Tensor, arch: Arch | None = None, taps: tuple[str, ...] = (), **inputs: Any):
        """Translate images.

        Args:
            x: (N, input_nc, H, W), images in [-1, 1]; H and W are multiples of `stride`.
            arch: the sub-network to run; None is the full network, for which no weight is sliced.
            taps: names of activations to return as well, see :meth:`tap_names`.
            inputs: further inputs of the family, such as SPADE's style code `z`.

        Returns:
            (N, output_nc, H, W) in [-1, 1]; with `taps`, a pair of this and the list of activations in the
            order of `taps`.

        Raises:
            ValueError: an invalid shape, an `arch` that is not a sub-network, or an unknown tap.
        """
        self._check_input(x)
        if arch is not None and not arch.fits(self.full):
            raise ValueError(f"{arch} is not a sub-network of the network, which is {self.full}")
        recorder = _TapRecorder(taps)
        is_full = arch is None or arch == self.full
        image = self.run(x, arch or self.full, is_full, recorder, **inputs)
        if not taps:
            return image
        missing = [name for name in taps if name not in recorder.activations]
        if missing:
            raise ValueError(f"no tap named {', '.join(missing)} in this architecture, known: "
                             f"{', '.join(self.tap_names(arch))}")
        return image, [recorder.activations[name] for name in taps]

    def _check_input(self, x: Tensor) -> None:
        """Raise a ValueError unless x is (N, input_nc, H, W) with a valid height and width."""
        channels = self.config["input_nc"]
        if x.dim() != 4 or x.shape[1] != channels:
            raise ValueError(f"the generator takes images of shape (N, {channels}, H, W), got "
                             f"{tuple(x.shape)}; to_tensor(image, {channels}) converts images, and "
                             "encode_labels label maps")
        error = self.size_error(*x.shape[-2:])
        if error:
            raise ValueError(error)

    def size_error(self, height: int, width: int) -> str | None:
        """Explain why the generator does not take images of a height and width; None if it does."""
        min_side = self.min_strides * self.stride
        if all(side % self.stride == 0 and side >= min_side for side in (height, width)):
            return None
        nearest = [max(min_side, round(side / self.stride) * self.stride) for side in (height, width)]
        minimum = f" and at least {min_side}" if min_side > self.stride else ""
        return (f"the generator takes sides that are multiples of {self.stride}{minimum}, "
                f"got {height}x{width} (HxW); nearest: {nearest[0]}x{nearest[1]}")

    @property
    def example_input_size(self) -> tuple[int, int]:
        """Return a small valid (height, width), for traces and probes."""
        return 2 * self.stride, 2 * self.stride

    def run(self, x: Tensor, arch: Arch, is_full: bool, tap: Tap) -> Tensor:
        """Run the forward pass of the sub-network `arch`.

        Args:
            x: (N, input_nc, H, W).
            arch: the widths and depths to run.
            is_full: whether `arch` is the full architecture; only then are running statistics of norms
                updated and dropout applied.
            tap: call ``h = tap(name, h)`` on every activation that can be requested through `taps`.

        Returns:
            (N, output_nc, H, W) in [-1, 1].
        """
        raise NotImplementedError

    def tap_names(self, arch: Arch | None = None) -> tuple[str, ...]:
        """Return the default distillation points of `arch`: activations that exist at every width and
        depth."""
        raise NotImplementedError

    @classmethod
    def settings_from_flags(cls, flags: Mapping) -> dict:
        """Select those command-line `flags` that are `extra_settings` of this class and are not None."""
        return {name: flags[name] for name in cls.extra_settings if flags.get(name) is not None}

    @staticmethod
    def ambiguous_settings(config: Mapping) -> dict[str, tuple]:
        """Return the constructor arguments that the keys and shapes of a checkpoint do not determine.

        Args:
            config: the arguments that they do determine.

        Returns:
            name -> the possible values, () if any value is possible.
        """
        return {}

    @staticmethod
    def read_architecture(shapes: Shapes) -> tuple[Arch, dict] | None:
        """Infer the architecture and the constructor arguments from the keys and shapes of a state dict.

        Args:
            shapes: state-dict key -> shape.

        Returns:
            The architecture and the other constructor arguments, or None if the state dict is not of this
            class.
        """
        raise NotImplementedError


class _TapRecorder:
    """Store the requested activations by name and pass every activation through."""

    def __init__(self, names: tuple[str, ...]):
        self.names = frozenset(names)
        self.activations: dict[str, Tensor] = {}

    def __call__(self, name: str, activation: Tensor) -> Tensor:
        if name in self.names:
            self.activations[name] = activation
        return activation

"""The search space of an original: which sub-networks it has, and how to sample them under a MACs budget."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..elastic.arch import Arch
from ..elastic.registry import family_by_name
from .macs import CostModel
from .sampling import WindowSampler


def scale_widths(widths: Sequence[int], ngf: int, reference_ngf: int, full_width: int) -> tuple[int, ...]:
    """Scale the candidate widths of a layer from `reference_ngf` to `ngf`.

    Returns:
        The candidates below `full_width`, ascending, then `full_width`. Scaled candidates are multiples of 4.
    """
    if ngf == reference_ngf:
        scaled = list(widths)
    else:
        scaled = [max(4, 4 * round(width * ngf / reference_ngf / 4)) for width in widths]
    smaller = sorted({width for width in scaled if width < full_width})
    return (*smaller, full_width)


@dataclass(frozen=True)
class SearchSpace:
    """All sub-networks of a full architecture that the search considers.

    An architecture has fields (:class:`~compression.elastic.arch.Arch`). A field is a single width or a
    sequence of widths; the length of a sequence is a depth. Tied fields are not searched: they follow from
    the others.

    Attributes:
        full: the full architecture.
        choices: field -> for each position, the candidate widths in channels, ascending. The full width is
            the last. Positions that may be skipped start with 0.
        lengths: field -> (smallest, largest) length of the sequence; None for a single width.
    """

    full: Arch
    choices: Mapping[str, tuple[tuple[int, ...], ...]]
    lengths: Mapping[str, tuple[int, int] | None]

    @staticmethod
    def of(full: Arch, ngf: int | None = None) -> SearchSpace:
        """Build the search space of the architecture `full`.

        Args:
            full: the full architecture.
            ngf: base width, to which the family's candidate widths are scaled. The default is that of `full`.
        """
        family = family_by_name(full.family)
        if ngf is None:
            ngf = family.ngf(full)
        choices: dict[str, tuple[tuple[int, ...], ...]] = {}
        lengths: dict[str, tuple[int, int] | None] = {}
        for name, field in family.fields.items():
            if field.tied:
                continue
            assert field.choices is not None, f"field {name} of family {family.name} has no candidate widths"
            full_widths = _as_sequence(getattr(full, name))
            field_ngf = ngf if field.scaled else family.reference_ngf
            positions = []
            for i, full_width in enumerate(full_widths):
                candidates = scale_widths(field.choices(i), field_ngf, family.reference_ngf, full_width)
                positions.append((0, *candidates) if i in field.skippable else candidates)
            choices[name] = tuple(positions)
            if field.single:
                lengths[name] = None
            else:
                max_length = len(full_widths)
                lengths[name] = (min(field.min_length or max_length, max_length), max_length)
        return SearchSpace(full, choices, lengths)

    def contains(self, arch: Arch) -> bool:
        """Check whether the space contains `arch`."""
        if arch.family != self.full.family:
            return False
        widths = {}
        for name, candidates in self.choices.items():
            widths[name] = _as_sequence(getattr(arch, name))
            min_length, max_length = self._length_range(name)
            if not min_length <= len(widths[name]) <= max_length:
                return False
            if any(width not in candidates[i] for i, width in enumerate(widths[name])):
                return False
        return self._arch(widths) == arch  # the tied fields agree

    @property
    def smallest(self) -> Arch:
        """The architecture with the smallest depth and widths; everything that may be skipped is skipped."""
        widths = {}
        for name, candidates in self.choices.items():
            min_length, _ = self._length_range(name)
            widths[name] = tuple(position[0] for position in candidates[:min_length])
        return self._arch(widths)

    @property
    def largest(self) -> Arch:
        """The architecture with the largest depth and widths: `full`, unless the space is restricted."""
        widths = {}
        for name, candidates in self.choices.items():
            _, max_length = self._length_range(name)
            widths[name] = tuple(position[-1] for position in candidates[:max_length])
        return self._arch(widths)

    def wider_than(self, arch: Arch) -> SearchSpace:
        """Restrict the space to wide teachers of the student `arch`.

        They have the student's depth and skip the same positions. Each width is larger than the student's;
        where the student has the full width, they have it too.
        """
        choices: dict[str, tuple[tuple[int, ...], ...]] = {}
        lengths: dict[str, tuple[int, int] | None] = {}
        for name, candidates in self.choices.items():
            widths = _as_sequence(getattr(arch, name))
            choices[name] = tuple(_larger(position, width)
                                  for position, width in zip(candidates, widths, strict=False))
            lengths[name] = (len(widths), len(widths)) if self.lengths[name] else None
        return SearchSpace(self.full, choices, lengths)

    def deeper_than(self, arch: Arch) -> SearchSpace:
        """Restrict the space to deep teachers of the student `arch`: narrow networks of the largest depth.

        They skip no position. Each width is that of the student or a neighboring candidate. Positions that
        the student lacks are compared with its last one.
        """
        choices: dict[str, tuple[tuple[int, ...], ...]] = {}
        lengths: dict[str, tuple[int, int] | None] = {}
        for name, candidates in self.choices.items():
            widths = [width for width in _as_sequence(getattr(arch, name)) if width > 0]
            widths += [widths[-1]] * (len(candidates) - len(widths))
            choices[name] = tuple(_neighbors([w for w in position if w > 0], width)
                                  for position, width in zip(candidates, widths, strict=True))
            _, max_length = self._length_range(name)
            lengths[name] = (max_length, max_length) if self.lengths[name] else None
        return SearchSpace(self.full, choices, lengths)

    def sandwich(self, rng: np.random.Generator, k: int = 1,
                 windows: Sequence[WindowSampler] = ()) -> list[Arch]:
        """Sample the sub-networks that one step trains besides the largest: the smallest and `k` random ones.

        This is the sandwich rule of slimmable networks (Yu and Huang, ICCV 2019). Each random sub-network has
        its own tilt t (:func:`tilted_index`), uniform in [-2, 12], so that small networks are not rare. With
        `windows`, half of them are instead from a window, each window with the same probability.
        """
        return [self.smallest, *(self._draw_for_training(rng, windows) for _ in range(k))]

    def _draw_for_training(self, rng: np.random.Generator, windows: Sequence[WindowSampler]) -> Arch:
        if windows and rng.random() < 0.5:
            return windows[int(rng.integers(len(windows)))].draw(rng)
        return self.draw(rng, rng.uniform(-2.0, 12.0))

    def sample(self, rng: np.random.Generator, n: int = 1, cost_model: CostModel | None = None,
               max_macs: int | None = None, min_macs: int | None = None) -> list[Arch]:
        """Sample `n` architectures with ``min_macs <= MACs <= max_macs`` by rejection.

        Without a range, all widths and depths are uniform; with a range, widths are tilted
        (:class:`~compression.search.sampling.WindowSampler`).

        Args:
            rng: random generator.
            n: number of architectures.
            cost_model: computes MACs; required with `max_macs` or `min_macs`.
            max_macs: maximum MACs.
            min_macs: minimum MACs.

        Raises:
            ValueError: if the range is outside the space, or too few samples are in it.
        """
        if max_macs is None and min_macs is None:
            return [self.draw(rng, 0.0) for _ in range(n)]
        if cost_model is None:
            raise TypeError("sampling under a MACs budget needs a cost model")
        low = 0 if min_macs is None else min_macs
        high = np.inf if max_macs is None else max_macs
        return WindowSampler.of_macs(self, cost_model, low, high, rng).sample(rng, n)

    def mutate(self, arch: Arch, rng: np.random.Generator, rate: float = 0.1) -> Arch:
        """Resample each depth and each width of `arch` uniformly, with probability `rate` each."""
        mutated = {}
        for name, candidates in self.choices.items():
            widths = list(_as_sequence(getattr(arch, name)))
            if self.lengths[name] and rng.random() < rate:
                min_length, max_length = self._length_range(name)
                length = int(rng.integers(min_length, max_length + 1))
                added = [int(rng.choice(candidates[i])) for i in range(len(widths), length)]
                widths = widths[:length] + added
            for i, position in enumerate(candidates[:len(widths)]):
                if rng.random() < rate:
                    widths[i] = int(rng.choice(position))
            mutated[name] = tuple(widths)
        return self._arch(mutated)

    def crossover(self, a: Arch, b: Arch, rng: np.random.Generator) -> Arch:
        """Combine two parents: each depth and each width comes from either with probability 1/2.

        A position that only one parent has comes from this parent.
        """
        child = {}
        for name in self.choices:
            widths_a = _as_sequence(getattr(a, name))
            widths_b = _as_sequence(getattr(b, name))
            length = len(widths_a) if rng.random() < 0.5 else len(widths_b)
            widths = []
            for i in range(length):
                in_both = i < len(widths_a) and i < len(widths_b)
                from_a = rng.random() < 0.5 if in_both else i < len(widths_a)
                widths.append(widths_a[i] if from_a else widths_b[i])
            child[name] = tuple(widths)
        return self._arch(child)

    def _length_range(self, name: str) -> tuple[int, int]:
        """Return the (smallest, largest) number of widths of a field."""
        return self.lengths[name] or (1, 1)

    def _arch(self, widths: Mapping[str, tuple[int, ...]]) -> Arch:
        """Build an architecture from the widths of the searched fields; compute the tied ones."""
        fields: dict[str, int | tuple[int, ...]] = {}
        for name, field in family_by_name(self.full.family).fields.items():
            if field.tied:
                fields[name] = field.tied(fields)
            elif field.single:
                fields[name] = widths[name][0]
            else:
                fields[name] = widths[name]
        return Arch(self.full.family, **fields)

    def draw(self, rng: np.random.Generator, tilt: float) -> Arch:
        """Draw an architecture with uniform depths and widths of the given tilt.

        Depths are not tilted, so that deep and narrow networks are not rare. Every draw consumes one uniform
        number for each depth and for each width at full depth, whatever the depth is.
        """
        total = 0
        for name in self.choices:
            _, max_length = self._length_range(name)
            total += max_length + 1 if self.lengths[name] else 1
        uniform = iter(rng.random(total).tolist())
        widths = {}
        for name, candidates in self.choices.items():
            min_length, max_length = self._length_range(name)
            length = max_length
            if self.lengths[name]:
                length = min_length + tilted_index(next(uniform), max_length - min_length + 1, tilt=0.0)
            drawn = []
            for position in candidates[:max_length]:
                drawn.append(position[tilted_index(next(uniform), len(position), tilt)])
            widths[name] = tuple(drawn[:length])
        return self._arch(widths)


def tilted_index(u: float, n: int, tilt: float) -> int:
    r"""Map a uniform number to one of `n` ascending widths; a positive tilt favors the small ones.

    Width j = 0, ..., n - 1 has the probability

        P(j) = exp(-t j / n) / Z,    Z = sum_i exp(-t i / n),

    uniform for t = 0. This is the truncated exponential density p(x) = t exp(-t x) / (1 - exp(-t)) on [0, 1],
    cut into n bins of equal size. Its distribution function F(x) = (1 - exp(-t x)) / (1 - exp(-t)) is
    inverted:

        x = -log(1 - u (1 - exp(-t))) / t,    j = floor(n x).

    Args:
        u: a number from the uniform distribution on [0, 1).
        n: number of widths.
        tilt: t.
    """
    if abs(tilt) < 1e-6 or n == 1:
        return min(int(u * n), n - 1)
    x = -np.log1p(u * np.expm1(-tilt)) / tilt
    return min(int(x * n), n - 1)


def _as_sequence(value: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the widths of a field as a tuple, also for a single width."""
    return value if isinstance(value, tuple) else (value,)


def _larger(candidates: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Return the candidates above `width`, or else the full width; (0,) for a skipped position."""
    if width == 0:
        return (0,)
    return tuple(candidate for candidate in candidates if candidate > width) or candidates[-1:]


def _neighbors(candidates: Sequence[int], width: int) -> tuple[int, ...]:
    """Return the candidate closest to `width`, and the candidates before and after it."""
    closest = min(range(len(candidates)), key=lambda i: abs(candidates[i] - width))
    return tuple(candidates[max(0, closest - 1):closest + 2])

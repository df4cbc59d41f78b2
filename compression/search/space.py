"""The search space of a family: which widths and depths there are, and how to draw from it under a budget."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..elastic.arch import Arch
from ..elastic.families import Field
from ..elastic.registry import family_by_name
from .macs import CostModel

_TRIES = 200  # batches of draws before a budget window counts as empty


def scale_widths(widths: Sequence[int], ngf: int, reference: int, full: int) -> tuple[int, ...]:
    """A width list of the published space at another ``ngf``: multiples of 4, at least 4, the last is `full`."""
    if ngf == reference:
        scaled = list(widths)
    else:
        scaled = [max(4, 4 * round(w * ngf / reference / 4)) for w in widths]
    return tuple(sorted({w for w in scaled if w < full})) + (full,)


@dataclass(frozen=True)
class SearchSpace:
    """All architectures between the smallest and the full one.

    `choices` gives for every free field a list of widths for each position (ascending, the full width last; 0 first
    where the position may be skipped); `lengths` the (least, greatest) length of the field, None for a single width.
    """

    full: Arch
    choices: Mapping[str, tuple[tuple[int, ...], ...]]
    lengths: Mapping[str, tuple[int, int] | None]

    @staticmethod
    def of(full: Arch, ngf: int | None = None) -> SearchSpace:
        """The space below the full architecture; `ngf` (default: its first width) scales the published width lists."""
        family = family_by_name(full.family)
        ngf = family.ngf(full) if ngf is None else ngf
        choices, lengths = {}, {}
        for name, spec in family.fields.items():
            if spec.tied:
                continue
            value = getattr(full, name)
            values = (value,) if spec.single else value
            at = ngf if spec.scaled else family.reference_ngf
            choices[name] = tuple(((0,) if i in spec.skippable else ())
                                  + scale_widths(spec.choices(i), at, family.reference_ngf, width)
                                  for i, width in enumerate(values))
            lengths[name] = None if spec.single else (min(spec.min_length or len(values), len(values)), len(values))
        return SearchSpace(full, choices, lengths)

    def contains(self, arch: Arch) -> bool:
        """Whether `arch` can be drawn from this space."""
        if arch.family != self.full.family:
            return False
        free = {}
        for name, options in self.choices.items():
            value = getattr(arch, name)
            free[name] = value if isinstance(value, tuple) else (value,)
            least, greatest = self.lengths[name] or (1, 1)
            if not least <= len(free[name]) <= greatest:
                return False
            if any(width not in options[i] for i, width in enumerate(free[name])):
                return False
        return self._arch(free) == arch

    @property
    def smallest(self) -> Arch:
        """Least widths, least depth, everything skipped that may be."""
        return self._arch({name: tuple(c[0] for c in options[: (self.lengths[name] or (1, 1))[0]])
                           for name, options in self.choices.items()})

    @property
    def largest(self) -> Arch:
        """Greatest widths and depth; the full architecture in an unrestricted space."""
        return self._arch({name: tuple(c[-1] for c in options[: (self.lengths[name] or (1, 1))[1]])
                           for name, options in self.choices.items()})

    def wider_than(self, arch: Arch) -> SearchSpace:
        """The part with `arch`'s depth where every width is greater than `arch`'s, or full (wide teachers)."""
        choices, lengths = {}, {}
        for name, options in self.choices.items():
            value = getattr(arch, name)
            widths = value if isinstance(value, tuple) else (value,)
            choices[name] = tuple((0,) if w == 0 else tuple(c for c in o if c > w) or o[-1:]
                                  for w, o in zip(widths, options))
            lengths[name] = (len(widths),) * 2 if self.lengths[name] else None
        return SearchSpace(self.full, choices, lengths)

    def full_depth(self) -> SearchSpace:
        """The part with the greatest depth where nothing is skipped (deep teachers)."""
        return SearchSpace(self.full,
                           {name: tuple(tuple(c for c in o if c) for o in options)
                            for name, options in self.choices.items()},
                           {name: span and (span[1],) * 2 for name, span in self.lengths.items()})

    def sandwich(self, rng: np.random.Generator, k: int = 1) -> list[Arch]:
        """The sub-networks of one training step beside the largest: the smallest and `k` random ones (slimmable
        networks' sandwich rule). Sizes are spread over the whole range, small networks are not a rare event."""
        return [self.smallest, *(self._draw(rng, rng.uniform(-2.0, 12.0)) for _ in range(k))]

    def sample(self, rng: np.random.Generator, n: int = 1, cost_model: CostModel | None = None,
               max_macs: int | None = None, min_macs: int | None = None) -> list[Arch]:
        """Draw `n` architectures with ``min_macs <= macs <= max_macs``.

        Uniform draws hardly ever meet a student's budget. Every draw therefore tilts all its choices towards small by a
        strength of its own, which adapts to the budget; what misses the window is rejected.

        Raises:
            ValueError: if the window lies outside the space, or nothing in it was found.
        """
        if max_macs is None and min_macs is None:
            return [self._draw(rng, 0.0) for _ in range(n)]
        low, high = min_macs or 0, max_macs if max_macs is not None else np.inf
        least, most = (int(v) for v in cost_model.macs([self.smallest, self.largest]))
        if high < least:
            raise ValueError(f"--macs must be at least {least} ({least / 1e9:.3f} G, the smallest network), "
                             f"got {high:g}")
        if low > most or low > high:
            raise ValueError(f"no network has between {low:g} and {high:g} MACs, the largest has {most}")
        found: list[Arch] = []
        center, spread = self._tilt(rng, cost_model, low, high)
        for _ in range(_TRIES):
            tilts = center + spread * rng.standard_normal(max(64, n))
            drawn = [self._draw(rng, tilt) for tilt in tilts]
            macs = cost_model.macs(drawn)
            found += [arch for arch, m in zip(drawn, macs) if low <= m <= high]
            if len(found) >= n:
                return found[:n]
        raise ValueError(f"found {len(found)} of {n} networks between {low:g} and {high:g} MACs; widen the budget")

    def mutate(self, arch: Arch, rng: np.random.Generator, rate: float = 0.1) -> Arch:
        """Change each width with probability `rate`, and each depth likewise, to a random choice."""
        free = {}
        for name, options in self.choices.items():
            value = getattr(arch, name)
            widths = list(value if isinstance(value, tuple) else (value,))
            if self.lengths[name] and rng.random() < rate:
                least, greatest = self.lengths[name]
                length = int(rng.integers(least, greatest + 1))
                widths = widths[:length] + [int(rng.choice(options[i])) for i in range(len(widths), length)]
            free[name] = tuple(int(rng.choice(options[i])) if rng.random() < rate else w
                               for i, w in enumerate(widths))
        return self._arch(free)

    def crossover(self, a: Arch, b: Arch, rng: np.random.Generator) -> Arch:
        """Take the depth of one parent and every width from either; where one has no such position, the other's."""
        free = {}
        for name in self.choices:
            first, second = ((v if isinstance(v, tuple) else (v,)) for v in (getattr(a, name), getattr(b, name)))
            length = len(first) if rng.random() < 0.5 else len(second)
            free[name] = tuple((first if i >= len(second) or (i < len(first) and rng.random() < 0.5) else second)[i]
                               for i in range(length))
        return self._arch(free)

    def _arch(self, free: Mapping[str, tuple[int, ...]]) -> Arch:
        fields: dict[str, object] = {}
        for name, spec in family_by_name(self.full.family).fields.items():
            spec: Field
            fields[name] = spec.tied(fields) if spec.tied else free[name][0] if spec.single else free[name]
        return Arch(self.full.family, **fields)

    def _draw(self, rng: np.random.Generator, tilt: float) -> Arch:
        """One draw: depths are uniform, so that deep and narrow networks are no rare event; choice j of n widths has a
        probability proportional to exp(-tilt * j / (n - 1)), 0 is uniform."""
        total = sum((span[1] + 1 if span else 1) for span in self.lengths.values())
        uniform = iter(rng.random(total).tolist())
        free = {}
        for name, options in self.choices.items():
            span = self.lengths[name]
            length = span[0] + _tilted(next(uniform), span[1] - span[0] + 1, 0.0) if span else 1
            free[name] = tuple(options[i][_tilted(next(uniform), len(options[i]), tilt)] for i in range(length))
            for _ in range((span[1] if span else 1) - length):
                next(uniform)
        return self._arch(free)

    def _tilt(self, rng: np.random.Generator, cost_model: CostModel, low: float, high: float) -> tuple[float, float]:
        """The tilt, and its spread, whose draws best fill the window."""
        grid = np.linspace(-8, 24, 33)
        drawn = [self._draw(rng, tilt) for tilt in np.repeat(grid, 16)]
        macs = cost_model.macs(drawn).reshape(len(grid), -1)
        inside = ((macs >= low) & (macs <= high)).mean(1)
        if not inside.any():
            target = high if np.isfinite(high) else low
            return float(grid[np.abs(np.median(macs, 1) - target).argmin()]), 2.0
        good = grid[inside >= 0.5 * inside.max()]
        return float(good[0] if low == 0 else good.mean()), 1.0  # without a floor, near the budget


def _tilted(u: float, n: int, tilt: float) -> int:
    """The choice among n that the uniform number `u` picks, by inverting the truncated exponential distribution."""
    if abs(tilt) < 1e-6 or n == 1:
        return min(int(u * n), n - 1)
    position = -np.log1p(u * np.expm1(-tilt)) / tilt  # in [0, 1]
    return min(int(position * n), n - 1)

"""Random landscapes of the toy world: their shapes and the form of the ground."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scene:
    """The shapes of a landscape.

    Attributes:
        horizon: its y.
        sun: (x, y).
        ridge: the waves that form the hills, each (amplitude, frequency, phase).
        clouds: each (x, y, size).
        lake: (x, width), or None.
        road: (x at the horizon, x at the bottom, half the width at the bottom), or None.
        objects: houses and trees, each (kind, x, base y, size), from far to near.
    """

    horizon: float
    sun: tuple[float, float]
    ridge: tuple[tuple[float, float, float], ...]
    clouds: tuple[tuple[float, float, float], ...]
    lake: tuple[float, float] | None
    road: tuple[float, float, float] | None
    objects: tuple[tuple[str, float, float, float], ...]

    @property
    def warmth(self) -> float:
        """The warmth of the light: 0 for a high sun, 1 for a low one."""
        return float(np.clip(1 - (self.horizon - self.sun[1] - 0.23) / 0.2, 0, 1))


def random_scene(rng: np.random.Generator) -> Scene:
    """Sample a landscape."""
    horizon = rng.uniform(0.48, 0.6)
    sun = (rng.uniform(0.08, 0.92), rng.uniform(0.07, horizon - 0.23))
    amplitudes = rng.uniform((.02, .01, .004), (.055, .03, .012))
    frequencies = rng.uniform((3, 9, 22), (6, 15, 35))
    ridge = tuple((amplitude, frequency, rng.uniform(0, 2 * np.pi))
                  for amplitude, frequency in zip(amplitudes, frequencies, strict=True))
    clouds = tuple((rng.uniform(0, 1), rng.uniform(0.05, horizon - 0.22), rng.uniform(0.05, 0.1))
                   for _ in range(rng.integers(0, 4)))
    lake = None
    if rng.random() < 0.4:
        lake = (rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.4))
    road = None
    if rng.random() < 0.7:
        road = (rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.22))
    counts = {"house": rng.integers(1, 3), "tree": rng.integers(1, 4), "fir": rng.integers(0, 4)}
    objects = []
    for kind, count in counts.items():
        for _ in range(count):
            base = horizon + rng.uniform(0.05, 0.3)
            x = rng.uniform(0.05, 0.95)
            size = (base - horizon + 0.12) * rng.uniform(0.8, 1.15)
            objects.append((kind, x, base, size))
    objects.sort(key=lambda item: item[2])
    return Scene(horizon, sun, ridge, clouds, lake, road, tuple(objects))


def ridge_height(scene, x):
    """Compute the height of the hills above the horizon."""
    return 0.085 + sum(amplitude * np.sin(frequency * x + phase)
                       for amplitude, frequency, phase in scene.ridge)


def ridge_slope(scene, x):
    """Compute the derivative of :func:`ridge_height`."""
    return sum(amplitude * frequency * np.cos(frequency * x + phase)
               for amplitude, frequency, phase in scene.ridge)


def nearness(scene, y):
    """Compute how near the ground at y is: 0 at the horizon, 1 at the bottom of the image."""
    return np.clip((y - scene.horizon) / (1 - scene.horizon), 0, 1)


def road_offset(scene, x, y):
    """Compute the position across the road: 0 in its middle, -1 and 1 at its edges."""
    x_far, x_near, half_width = scene.road
    near = nearness(scene, y)
    return (x - x_far - (x_near - x_far) * near ** 1.4) / (half_width * near + 0.008)

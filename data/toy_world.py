"""The toy world: label maps of small landscapes, and photos that are rendered from the same shapes.

A random landscape is a handful of shapes. Its photo is a function of these shapes and has structure to learn:
the height of the sun sets the color of sky and light, its side sets shading and shadows, distant ground is
paler, water mirrors the sky, and every class has its own texture.

Coordinates are fractions of the image, x to the right and y down.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

CLASSES = (  # name, color in label maps
    ("sky", (70, 130, 180)),
    ("cloud", (220, 220, 235)),
    ("sun", (255, 220, 0)),
    ("hill", (110, 80, 130)),
    ("grass", (107, 172, 35)),
    ("water", (0, 60, 190)),
    ("road", (128, 64, 128)),
    ("crown", (0, 100, 30)),
    ("trunk", (110, 60, 10)),
    ("wall", (90, 90, 90)),
    ("roof", (200, 30, 40)),
    ("window", (250, 150, 30)),
)
IDS = {name: i for i, (name, _) in enumerate(CLASSES)}
COLORS = np.array([color for _, color in CLASSES], dtype=np.uint8)


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


def label_map(scene: Scene, size: int) -> np.ndarray:
    """Render the class ids, (size, size) uint8."""
    ids = np.zeros((size, size), dtype=np.uint8)
    for name, mask, _ in layers(scene, *grid(size)):
        if name in IDS:
            ids[mask] = IDS[name]
    return ids


def instance_map(scene: Scene, size: int) -> np.ndarray:
    """Render the instance ids, (size, size) uint8: 1, 2, ... for the objects from far to near, else 0."""
    ids = np.zeros((size, size), dtype=np.uint8)
    for i, item in enumerate(scene.objects, 1):
        for _, mask, _ in object_layers(item, *grid(size)):
            ids[mask] = i
    return ids


def photo(scene: Scene, size: int) -> np.ndarray:
    """Render the photo, (size, size, 3) uint8, as the average of four pixels for each one."""
    x, y = grid(2 * size)
    renderer = SceneRenderer(scene)
    image = np.zeros((2 * size, 2 * size, 3), dtype=np.float32)
    for name, mask, paint in layers(scene, x, y):
        image[mask] = image[mask] * 0.5 if name == "shadow" else paint(renderer, x[mask], y[mask])
    image = image.reshape(size, 2, size, 2, 3).mean((1, 3))
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute x and y of the centers of the pixels, (size, size) each."""
    centers = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(centers, centers)
    return x, y


@lru_cache(maxsize=1)
def noise_table() -> np.ndarray:
    """Compute a fixed texture of smooth noise that tiles, (256, 256), in about [-1, 1]."""
    rng = np.random.default_rng(7)
    total = np.zeros((256, 256))
    for cells, weight in ((32, 0.5), (64, 0.7), (128, 0.8)):
        total += weight * np.kron(rng.uniform(-1, 1, (cells, cells)), np.ones((256 // cells,) * 2))
    total = (total + np.roll(total, 1, 0)) / 2
    return ((total + np.roll(total, 1, 1)) / 2).astype(np.float32)


def noise(u, v) -> np.ndarray:
    """Look up the noise at column u and row v of the table."""
    return noise_table()[v.astype(np.int32) & 255, u.astype(np.int32) & 255]


def mix(a, b, share):
    """Mix two colors: a + (b - a) * share. `share` is a number or one number per pixel."""
    return a + (b - a) * (share[..., None] if isinstance(share, np.ndarray) else share)


def rgb(*values):
    """Build a color from three values in [0, 1]."""
    return np.array(values, dtype=np.float32)


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


class SceneRenderer:
    """Compute the colors of a scene.

    There is one method per class of :data:`CLASSES`. It takes the coordinates x and y of K pixels, (K,) each,
    and returns their colors, (K, 3). Methods of objects also take the object's center (cx, cy) or base, and
    its size.

    Attributes:
        scene: the scene.
        light: color of the sunlight.
        zenith: color of the sky at the top.
        haze: color of the sky at the horizon.
    """

    def __init__(self, scene: Scene):
        self.scene = scene
        self.light = mix(rgb(1.0, 1.0, 0.97), rgb(1.05, 0.74, 0.5), scene.warmth)
        self.zenith = mix(rgb(0.2, 0.47, 0.86), rgb(0.27, 0.24, 0.5), scene.warmth)
        self.haze = mix(rgb(0.76, 0.87, 0.96), rgb(0.98, 0.6, 0.36), scene.warmth)

    def lit(self, color, brightness):
        """Light a surface: color times light times the brightness of each pixel."""
        return color * self.light * brightness[..., None]

    def fade(self, colors, y):
        """Make the ground paler towards the horizon."""
        return mix(colors, self.haze, 0.35 * (1 - nearness(self.scene, y)) ** 4)

    def sunward(self, x, y, cx, cy, size):
        """Compute how far each pixel is from (cx, cy) in the direction of the sun, in units of `size`."""
        across = self.scene.sun[0] - cx
        down = self.scene.sun[1] - cy
        return ((x - cx) * across + (y - cy) * down) / (size * np.hypot(across, down) + 1e-6)

    def sun_side(self, cx):
        """Return 1 if the sun is to the right of cx, -1 if it is to the left."""
        return np.sign(self.scene.sun[0] - cx)

    def sky(self, x, y):
        colors = mix(self.zenith, self.haze, np.clip(y / self.scene.horizon, 0, 1) ** 1.5)
        squared_distance = (x - self.scene.sun[0]) ** 2 + (y - self.scene.sun[1]) ** 2
        return mix(colors, rgb(1.0, 0.95, 0.8), 0.75 * np.exp(-squared_distance / 0.012))

    def sun(self, x, y):
        return mix(rgb(1.0, 1.0, 0.9), rgb(1.0, 0.85, 0.5), self.scene.warmth)

    def cloud(self, x, y, cx, cy, size):
        brightness = 0.72 + 0.2 * self.sunward(x, y, cx, cy, size) + 0.1 * noise(x * 90, y * 140)
        return mix(self.sky(x, y), self.light, np.clip(brightness, 0, 1))

    def hill(self, x, y):
        slope = 0.5 * ridge_slope(self.scene, x) * -self.sun_side(x)
        brightness = 0.97 + slope + 0.14 * noise(x * 110, y * 160)
        green = np.clip(1 - (self.scene.horizon - y) * 9, 0, 1)
        colors = mix(rgb(0.34, 0.36, 0.42), rgb(0.3, 0.44, 0.3), green)
        return mix(self.lit(colors, brightness), self.haze, 0.38)

    def grass(self, x, y):
        near = nearness(self.scene, y)
        blades = noise((x - 0.5) * 70 / (near + 0.12), 60 / (near + 0.12))
        colors = mix(rgb(0.5, 0.66, 0.3), rgb(0.22, 0.46, 0.12), np.sqrt(near))
        return self.fade(self.lit(colors, 0.95 + 0.18 * blades), y)

    def water(self, x, y):
        near = nearness(self.scene, y)
        ripples = noise(x * 40, 90 / (near + 0.15))
        reflection = mix(self.haze, self.zenith, np.clip(near * 2.2, 0, 1))
        reflection = reflection * (0.85 + 0.08 * ripples)[..., None]
        glint = np.exp(-((x - self.scene.sun[0]) / 0.07) ** 2) * (0.55 + 0.45 * ripples)
        return mix(reflection, self.light, np.clip(glint, 0, 1) * 0.8)

    def road(self, x, y):
        offset = np.abs(road_offset(self.scene, x, y))
        brightness = 0.95 + 0.12 * noise(x * 200, y * 200) + 0.35 * (offset > 0.88)  # with pale edges
        colors = self.lit(rgb(0.42, 0.41, 0.43), brightness)
        dashes = (offset < 0.07) & (np.sin(12 / (nearness(self.scene, y) + 0.1)) > 0)
        colors[dashes] = self.light * 0.92
        return self.fade(colors, y)

    def crown(self, x, y, cx, cy, size, color):
        brightness = 0.8 + 0.42 * self.sunward(x, y, cx, cy, size) + 0.32 * noise(x * 190, y * 190)
        return self.lit(color, np.clip(brightness, 0.2, 1.6))

    def trunk(self, x, y, cx, size):
        brightness = np.clip(0.85 + 4 * (x - cx) / size * self.sun_side(cx), 0.35, 1.3)
        return self.lit(rgb(0.36, 0.25, 0.16), brightness)

    def wall(self, x, y, cx, base, size):
        courses = 0.06 * (np.sin((y - base) / size * 60) > 0.6) + 0.15 * (y > base - 0.05 * size)
        brightness = 0.86 + 0.22 * (x - cx) / size * self.sun_side(cx) - courses
        return self.lit(rgb(0.93, 0.86, 0.72), brightness)

    def roof(self, x, y, cx, base, size):
        tiles = 0.16 * np.sin((y - base) / size * 55) + 0.1 * noise(x * 200, y * 200)
        brightness = 0.88 + 0.35 * np.sign(x - cx) * self.sun_side(cx) + tiles
        return self.lit(rgb(0.62, 0.26, 0.18), brightness)

    def window(self, x, y, base, size):
        reflection = mix(rgb(0.2, 0.27, 0.36), self.zenith, np.clip((base - y) / size, 0, 1))
        return mix(reflection, rgb(1.0, 0.84, 0.4), self.scene.warmth)  # lamps are on in the evening


Layer = tuple[str, np.ndarray, Callable | None]


def layers(scene: Scene, x: np.ndarray, y: np.ndarray) -> Iterator[Layer]:
    """Yield the layers of a scene from back to front.

    Yields:
        The name of a class or "shadow", the mask, (H, W), and a function of (renderer, x, y) that computes
        the colors of the masked pixels; None for shadows.
    """
    yield "sky", y < scene.horizon, SceneRenderer.sky
    yield "sun", np.hypot(x - scene.sun[0], y - scene.sun[1]) < 0.055, SceneRenderer.sun
    for cx, cy, size in scene.clouds:
        paint = partial(SceneRenderer.cloud, cx=cx, cy=cy, size=size)
        yield "cloud", cloud_mask((x - cx) / size, (y - cy) / size), paint
    above_ground = y < scene.horizon
    yield "hill", (y > scene.horizon - ridge_height(scene, x[0])) & above_ground, SceneRenderer.hill
    ground = y >= scene.horizon
    yield "grass", ground, SceneRenderer.grass
    if scene.lake:
        cx, width = scene.lake
        ellipse = np.hypot((x - cx) / width, (y - scene.horizon - 0.075) / 0.06) < 1
        yield "water", ellipse & ground, SceneRenderer.water
    if scene.road:
        yield "road", (np.abs(road_offset(scene, x, y)) < 1) & ground, SceneRenderer.road
    for kind, cx, base, size in scene.objects:
        half_width = SHADOW_WIDTHS[kind] * size / 2
        half_length = size * (0.175 + 0.45 * scene.warmth)  # a low sun casts long shadows
        middle = cx + half_length * np.sign(cx - scene.sun[0])
        ellipse = np.hypot((x - middle) / (half_width + half_length), (y - base) / (0.13 * size)) < 1
        yield "shadow", ellipse & ground, None
    for item in scene.objects:
        yield from object_layers(item, x, y)


def cloud_mask(across, down):
    """Compute the mask of a cloud, three puffs with a flat bottom; its center is (0, 0), its size 1."""
    puffs = [np.hypot((across - dx) / 1.3, down - dy) < radius
             for dx, dy, radius in ((-0.95, 0.12, 0.5), (0, -0.1, 0.75), (0.95, 0.1, 0.55))]
    return np.any(puffs, 0) & (down < 0.38)


def object_layers(item, x, y) -> Iterator[Layer]:
    """Yield the layers of one of ``Scene.objects``, as :func:`layers` does."""
    kind, cx, base, size = item
    yield from SHAPES[kind]((x - cx) / size, (base - y) / size, cx, base, size)


def house(across, up, cx, base, size):
    """Yield the layers of a house: a wall, a gable roof, and two windows.

    Args:
        across, up: coordinates of the pixels, relative to the middle of the base, in units of the size.
        cx, base, size: position and size of the object.
    """
    wall = (np.abs(across) < 0.45) & (up > 0) & (up < 0.55)
    yield "wall", wall, partial(SceneRenderer.wall, cx=cx, base=base, size=size)
    roof = (up >= 0.52) & (np.abs(across) < np.minimum(0.56, 1.08 - up)) & (up < 1)
    yield "roof", roof, partial(SceneRenderer.roof, cx=cx, base=base, size=size)
    windows = (np.abs(np.abs(across) - 0.22) < 0.1) & (np.abs(up - 0.3) < 0.11)
    yield "window", windows, partial(SceneRenderer.window, base=base, size=size)


def tree(across, up, cx, base, size):
    """Yield the layers of a tree: a trunk and a round crown. The arguments are those of :func:`house`."""
    trunk = (np.abs(across) < 0.06) & (up > 0) & (up < 0.5)
    yield "trunk", trunk, partial(SceneRenderer.trunk, cx=cx, size=size)
    crown = (np.hypot(across, up - 0.72) < 0.36) | (np.hypot(np.abs(across) - 0.2, up - 0.58) < 0.24)
    yield "crown", crown, partial(SceneRenderer.crown, cx=cx, cy=base - 0.68 * size, size=0.4 * size,
                                  color=rgb(0.24, 0.46, 0.13))


def fir(across, up, cx, base, size):
    """Yield the layers of a fir: a short trunk and two cones. The arguments are those of :func:`house`."""
    across = np.abs(across)
    trunk = (across < 0.05) & (up > 0) & (up < 0.2)
    yield "trunk", trunk, partial(SceneRenderer.trunk, cx=cx, size=size)
    cones = ((up > 0.14) & (across < 0.36 * (0.85 - up))) | ((up > 0.5) & (across < 0.4 * (1.15 - up)))
    yield "crown", cones, partial(SceneRenderer.crown, cx=cx, cy=base - 0.55 * size, size=0.4 * size,
                                  color=rgb(0.1, 0.33, 0.22))


SHAPES = {"house": house, "tree": tree, "fir": fir}
SHADOW_WIDTHS = {"house": 1.0, "tree": 0.62, "fir": 0.42}  # in units of the size

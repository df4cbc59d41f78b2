"""The toy world: small landscapes as label maps, and what a camera would see of them.

A landscape is drawn from a random generator as a handful of shapes. Its photo is a function of these shapes with real
structure to learn: the height of the sun sets the color of sky and light, its side sets shading and where shadows
fall, distance turns pale, water mirrors the sky, and every class has a texture of its own.
Coordinates run from 0 to 1, x to the right and y down.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

CLASSES = (("sky", (70, 130, 180)), ("cloud", (220, 220, 235)), ("sun", (255, 220, 0)), ("hill", (110, 80, 130)),
           ("grass", (107, 172, 35)), ("water", (0, 60, 190)), ("road", (128, 64, 128)), ("crown", (0, 100, 30)),
           ("trunk", (110, 60, 10)), ("wall", (90, 90, 90)), ("roof", (200, 30, 40)), ("window", (250, 150, 30)))
IDS = {name: i for i, (name, _) in enumerate(CLASSES)}
COLOURS = np.array([color for _, color in CLASSES], dtype=np.uint8)


@dataclass(frozen=True)
class Scene:
    """The shapes of one landscape; `objects` (kind, x, base y, scale) are sorted from far to near."""

    horizon: float
    sun: tuple[float, float]
    ridge: tuple[tuple[float, float, float], ...]  # amplitude, frequency, phase of its waves
    clouds: tuple[tuple[float, float, float], ...]  # x, y, size
    lake: tuple[float, float] | None  # x, width
    road: tuple[float, float, float] | None  # x at the horizon, x at the bottom, half width at the bottom
    objects: tuple[tuple[str, float, float, float], ...]

    @property
    def warmth(self) -> float:
        """0 for a high sun, 1 for a low one."""
        return float(np.clip(1 - (self.horizon - self.sun[1] - 0.23) / 0.2, 0, 1))


def random_scene(rng: np.random.Generator) -> Scene:
    """Draw a landscape."""
    horizon = rng.uniform(0.48, 0.6)
    sun = (rng.uniform(0.08, 0.92), rng.uniform(0.07, horizon - 0.23))
    ridge = tuple((a, f, rng.uniform(0, 2 * np.pi)) for a, f in zip(rng.uniform((.02, .01, .004), (.055, .03, .012)),
                                                                   rng.uniform((3, 9, 22), (6, 15, 35))))
    clouds = tuple((rng.uniform(0, 1), rng.uniform(0.05, horizon - 0.22), rng.uniform(0.05, 0.1))
                   for _ in range(rng.integers(0, 4)))
    lake = (rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.4)) if rng.random() < 0.4 else None
    road = (rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.22)) if rng.random() < 0.7 else None
    objects = []
    for kind, count in (("house", rng.integers(1, 3)), ("tree", rng.integers(1, 4)), ("fir", rng.integers(0, 4))):
        for _ in range(count):
            base = horizon + rng.uniform(0.05, 0.3)
            objects.append((kind, rng.uniform(0.05, 0.95), base, (base - horizon + 0.12) * rng.uniform(0.8, 1.15)))
    return Scene(horizon, sun, ridge, clouds, lake, road, tuple(sorted(objects, key=lambda item: item[2])))


def label_map(scene: Scene, size: int) -> np.ndarray:
    """Class ids, (size, size) uint8."""
    ids = np.zeros((size, size), dtype=np.uint8)
    for name, mask, _ in layers(scene, *grid(size)):
        if name in IDS:
            ids[mask] = IDS[name]
    return ids


def instance_map(scene: Scene, size: int) -> np.ndarray:
    """Instance ids, (size, size) uint8: house or tree i, from far to near, has 1 + i; all else has 0."""
    x, y = grid(size)
    ids = np.zeros((size, size), dtype=np.uint8)
    for i, (kind, cx, base, scale) in enumerate(scene.objects, 1):
        for _, mask, _ in SHAPES[kind]((x - cx) / scale, (base - y) / scale, cx, base, scale):
            ids[mask] = i
    return ids


def photo(scene: Scene, size: int) -> np.ndarray:
    """What the camera sees, (size, size, 3) uint8: rendered at twice the size, then averaged."""
    x, y = grid(2 * size)
    sight = SceneRenderer(scene)
    image = np.zeros((2 * size, 2 * size, 3), dtype=np.float32)
    for name, mask, paint in layers(scene, x, y):
        image[mask] = image[mask] * 0.5 if name == "shadow" else paint(sight, x[mask], y[mask])
    image = image.reshape(size, 2, size, 2, 3).mean((1, 3))
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixels' centers, (size, size) each."""
    centers = (np.arange(size, dtype=np.float32) + 0.5) / size
    return tuple(np.meshgrid(centers, centers))


@lru_cache(maxsize=1)
def noise_table() -> np.ndarray:
    """Fixed cloudy noise, (256, 256) in about [-1, 1], that tiles."""
    rng, total = np.random.default_rng(7), np.zeros((256, 256))
    for cells, weight in ((32, 0.5), (64, 0.7), (128, 0.8)):
        total += weight * np.kron(rng.uniform(-1, 1, (cells, cells)), np.ones((256 // cells,) * 2))
    total = (total + np.roll(total, 1, 0)) / 2
    return ((total + np.roll(total, 1, 1)) / 2).astype(np.float32)


def noise(u, v) -> np.ndarray:
    """The noise at the table's coordinates u, v."""
    return noise_table()[v.astype(np.int32) & 255, u.astype(np.int32) & 255]


def mix(a, b, share):
    """From color `a` to color `b`; `share` is a number or an array of pixels."""
    return a + (b - a) * (share[..., None] if isinstance(share, np.ndarray) else share)


def rgb(*values):
    return np.array(values, dtype=np.float32)


def ridge_height(scene, x):
    return 0.085 + sum(a * np.sin(f * x + p) for a, f, p in scene.ridge)


def ridge_slope(scene, x):
    return sum(a * f * np.cos(f * x + p) for a, f, p in scene.ridge)


def depth(scene, y):
    """0 at the horizon, 1 at the feet of the camera."""
    return np.clip((y - scene.horizon) / (1 - scene.horizon), 0, 1)


def road_offset(scene, x, y):
    """-1 and 1 at the edges of the road, 0 on its middle."""
    (far, near, half), near_share = scene.road, depth(scene, y)
    return (x - far - (near - far) * near_share ** 1.4) / (half * near_share + 0.008)


class SceneRenderer:
    """The light of one scene and the materials in it: pixels at x, y, (K,) each -> their colors, (K, 3)."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self.light = mix(rgb(1.0, 1.0, 0.97), rgb(1.05, 0.74, 0.5), scene.warmth)
        self.zenith = mix(rgb(0.2, 0.47, 0.86), rgb(0.27, 0.24, 0.5), scene.warmth)
        self.haze = mix(rgb(0.76, 0.87, 0.96), rgb(0.98, 0.6, 0.36), scene.warmth)

    def surface(self, color, brightness):
        """A lit surface: color times light times the brightness of each pixel."""
        return color * self.light * brightness[..., None]

    def distant(self, colors, y):
        """Ground colors, paler towards the horizon."""
        return mix(colors, self.haze, 0.35 * (1 - depth(self.scene, y)) ** 4)

    def sunward(self, x, y, cx, cy, size):
        """How far each pixel lies on the side of (cx, cy) that faces the sun, in units of `size`."""
        across, down = self.scene.sun[0] - cx, self.scene.sun[1] - cy
        return ((x - cx) * across + (y - cy) * down) / (size * np.hypot(across, down) + 1e-6)

    def side(self, cx):
        """1 if the sun is right of cx, else -1."""
        return np.sign(self.scene.sun[0] - cx)

    def sky(self, x, y):
        colors = mix(self.zenith, self.haze, np.clip(y / self.scene.horizon, 0, 1) ** 1.5)
        distance = (x - self.scene.sun[0]) ** 2 + (y - self.scene.sun[1]) ** 2
        return mix(colors, rgb(1.0, 0.95, 0.8), 0.75 * np.exp(-distance / 0.012))

    def sun(self, x, y):
        return mix(rgb(1.0, 1.0, 0.9), rgb(1.0, 0.85, 0.5), self.scene.warmth)

    def cloud(self, x, y, cx, cy, size):
        lit = 0.72 + 0.2 * self.sunward(x, y, cx, cy, size) + 0.1 * noise(x * 90, y * 140)
        return mix(self.sky(x, y), self.light, np.clip(lit, 0, 1))

    def hill(self, x, y):
        lit = 0.97 + 0.5 * ridge_slope(self.scene, x) * -self.side(x) + 0.14 * noise(x * 110, y * 160)
        green = np.clip(1 - (self.scene.horizon - y) * 9, 0, 1)
        return mix(self.surface(mix(rgb(0.34, 0.36, 0.42), rgb(0.3, 0.44, 0.3), green), lit), self.haze, 0.38)

    def grass(self, x, y):
        near = depth(self.scene, y)
        blades = noise((x - 0.5) * 70 / (near + 0.12), 60 / (near + 0.12))
        colors = mix(rgb(0.5, 0.66, 0.3), rgb(0.22, 0.46, 0.12), np.sqrt(near))
        return self.distant(self.surface(colors, 0.95 + 0.18 * blades), y)

    def water(self, x, y):
        near = depth(self.scene, y)
        ripples = noise(x * 40, 90 / (near + 0.15))
        mirrored = mix(self.haze, self.zenith, np.clip(near * 2.2, 0, 1)) * (0.85 + 0.08 * ripples)[..., None]
        glint = np.exp(-((x - self.scene.sun[0]) / 0.07) ** 2) * (0.55 + 0.45 * ripples)
        return mix(mirrored, self.light, np.clip(glint, 0, 1) * 0.8)

    def road(self, x, y):
        offset = np.abs(road_offset(self.scene, x, y))
        asphalt = self.surface(rgb(0.42, 0.41, 0.43), 0.95 + 0.12 * noise(x * 200, y * 200) + 0.35 * (offset > 0.88))
        asphalt[(offset < 0.07) & (np.sin(12 / (depth(self.scene, y) + 0.1)) > 0)] = self.light * 0.92
        return self.distant(asphalt, y)

    def crown(self, x, y, cx, cy, size, color):
        lit = 0.8 + 0.42 * self.sunward(x, y, cx, cy, size) + 0.32 * noise(x * 190, y * 190)
        return self.surface(color, np.clip(lit, 0.2, 1.6))

    def trunk(self, x, y, cx, size):
        return self.surface(rgb(0.36, 0.25, 0.16), np.clip(0.85 + 4 * (x - cx) / size * self.side(cx), 0.35, 1.3))

    def wall(self, x, y, cx, base, size):
        courses = 0.06 * (np.sin((y - base) / size * 60) > 0.6) + 0.15 * (y > base - 0.05 * size)
        return self.surface(rgb(0.93, 0.86, 0.72), 0.86 + 0.22 * (x - cx) / size * self.side(cx) - courses)

    def roof(self, x, y, cx, base, size):
        tiles = 0.16 * np.sin((y - base) / size * 55) + 0.1 * noise(x * 200, y * 200)
        return self.surface(rgb(0.62, 0.26, 0.18), 0.88 + 0.35 * np.sign(x - cx) * self.side(cx) + tiles)

    def window(self, x, y, base, size):
        mirrored = mix(rgb(0.2, 0.27, 0.36), self.zenith, np.clip((base - y) / size, 0, 1))
        return mix(mirrored, rgb(1.0, 0.84, 0.4), self.scene.warmth)  # lamps are lit in the evening


def layers(scene: Scene, x: np.ndarray, y: np.ndarray):
    """The scene from back to front: class name or "shadow", mask (H, W), and function (sight, x, y) -> colors."""
    horizon, (sun_x, sun_y) = scene.horizon, scene.sun
    yield "sky", y < horizon, SceneRenderer.sky
    yield "sun", np.hypot(x - sun_x, y - sun_y) < 0.055, SceneRenderer.sun
    for cx, cy, size in scene.clouds:
        across, down = (x - cx) / size, (y - cy) / size
        puffs = [np.hypot((across - dx) / 1.3, down - dy) < radius
                 for dx, dy, radius in ((-0.95, 0.12, 0.5), (0, -0.1, 0.75), (0.95, 0.1, 0.55))]
        yield "cloud", np.any(puffs, 0) & (down < 0.38), partial(SceneRenderer.cloud, cx=cx, cy=cy, size=size)
    yield "hill", (y > horizon - ridge_height(scene, x[0])) & (y < horizon), SceneRenderer.hill
    ground = y >= horizon
    yield "grass", ground, SceneRenderer.grass
    if scene.lake:
        cx, width = scene.lake
        yield "water", (np.hypot((x - cx) / width, (y - horizon - 0.075) / 0.06) < 1) & ground, SceneRenderer.water
    if scene.road:
        yield "road", (np.abs(road_offset(scene, x, y)) < 1) & ground, SceneRenderer.road
    for kind, cx, base, size in scene.objects:
        half = WIDTHS[kind] * size / 2
        length = size * (0.175 + 0.45 * scene.warmth)  # half of it; low suns throw long shadows
        middle = cx + length * np.sign(cx - sun_x)
        yield "shadow", (np.hypot((x - middle) / (half + length), (y - base) / (0.13 * size)) < 1) & ground, None
    for kind, cx, base, size in scene.objects:
        for name, mask, paint in SHAPES[kind]((x - cx) / size, (base - y) / size, cx, base, size):
            yield name, mask, paint


def house(across, up, cx, base, size):
    """A wall with a gable roof and two windows."""
    yield "wall", (np.abs(across) < 0.45) & (up > 0) & (up < 0.55), partial(SceneRenderer.wall, cx=cx, base=base, size=size)
    yield ("roof", (up >= 0.52) & (np.abs(across) < np.minimum(0.56, 1.08 - up)) & (up < 1),
           partial(SceneRenderer.roof, cx=cx, base=base, size=size))
    yield ("window", (np.abs(np.abs(across) - 0.22) < 0.1) & (np.abs(up - 0.3) < 0.11),
           partial(SceneRenderer.window, base=base, size=size))


def tree(across, up, cx, base, size):
    """A trunk under a round crown."""
    yield "trunk", (np.abs(across) < 0.06) & (up > 0) & (up < 0.5), partial(SceneRenderer.trunk, cx=cx, size=size)
    yield ("crown", (np.hypot(across, up - 0.72) < 0.36) | (np.hypot(np.abs(across) - 0.2, up - 0.58) < 0.24),
           partial(SceneRenderer.crown, cx=cx, cy=base - 0.68 * size, size=0.4 * size, color=rgb(0.24, 0.46, 0.13)))


def fir(across, up, cx, base, size):
    """A short trunk under two cones."""
    across = np.abs(across)
    yield "trunk", (across < 0.05) & (up > 0) & (up < 0.2), partial(SceneRenderer.trunk, cx=cx, size=size)
    yield ("crown", ((up > 0.14) & (across < 0.36 * (0.85 - up))) | ((up > 0.5) & (across < 0.4 * (1.15 - up))),
           partial(SceneRenderer.crown, cx=cx, cy=base - 0.55 * size, size=0.4 * size, color=rgb(0.1, 0.33, 0.22)))


SHAPES = {"house": house, "tree": tree, "fir": fir}
WIDTHS = {"house": 1.0, "tree": 0.62, "fir": 0.42}  # of their shadows, in units of the scale

"""The colors of the toy world: light, materials, and textures."""
from functools import lru_cache

import numpy as np

from .toy_scene import Scene, nearness, ridge_slope, road_offset


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

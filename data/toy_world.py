"""The toy world: label maps of small landscapes, and photos that are rendered from the same shapes.

A random landscape is a handful of shapes. Its photo is a function of these shapes and has structure to learn:
the height of the sun sets the color of sky and light, its side sets shading and shadows, distant ground is
paler, water mirrors the sky, and every class has its own texture.

Coordinates are fractions of the image, x to the right and y down.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

import numpy as np

from .toy_renderer import SceneRenderer, rgb
from .toy_scene import Scene, ridge_height, road_offset

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

"""Find edges as Canny (1986) does, in the strongest color channel of every pixel."""
from functools import lru_cache

import numpy as np
from scipy import ndimage

_EIGHT_NEIGHBORS = np.ones((3, 3), dtype=bool)  # lines are connected along diagonals, too
# gradients with a smaller difference are equal; of two equal neighbors, the first is on the line
_TOLERANCE = 1e-3


def gradient(image, sigma):
    """Compute the gradient of a smoothed image: at every pixel, that of the strongest channel.

    The smoothing is Gaussian. The image is continued beyond its borders with the border pixels.

    Args:
        image: (H, W, C).
        sigma: standard deviation of the smoothing, in pixels.

    Returns:
        The derivatives down and to the right, (H, W) each.
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, dtype=np.float64), (sigma, sigma, 0), mode="nearest")
    down = ndimage.sobel(smooth, 0, mode="nearest")
    right = ndimage.sobel(smooth, 1, mode="nearest")
    strongest = np.hypot(down, right).argmax(2)[..., None]
    return (np.take_along_axis(down, strongest, 2)[..., 0], np.take_along_axis(right, strongest, 2)[..., 0])


@lru_cache
def response_to_step(sigma):
    """Compute the length of :func:`gradient` at a straight edge between 0 and 1."""
    half_width = int(4 * sigma) + 4
    step = np.zeros((3, 2 * half_width, 1))
    step[:, half_width:] = 1
    _, right = gradient(step, sigma)
    return float(right.max())


def find_edges(image, sigma, low=15.0, high=45.0, shortest=1):
    """Find the edges of an image (Canny, 1986).

    Args:
        image: (H, W, C), 0 to 255.
        sigma: standard deviation of the smoothing, in pixels, above 0.
        low, high: differences in brightness at a straight edge. A line is above `low` everywhere and above
            `high` somewhere.
        shortest: minimum number of connected pixels of a line.

    Returns:
        (H, W) bool, true on lines, which are one pixel wide.
    """
    down, right = gradient(image, sigma)
    strength = np.hypot(down, right) / response_to_step(sigma)
    ridge = on_ridge(strength, down, right) & (strength >= low)
    return keep_lines(ridge, strength, high, shortest)


def keep_lines(ridge, strength, high, shortest):
    """Keep the connected lines that are strong and long enough.

    Args:
        ridge: pixels of lines, (H, W) bool.
        strength: (H, W).
        high: strength that a line must reach somewhere.
        shortest: minimum number of pixels of a line.

    Returns:
        (H, W) bool.
    """
    lines, n_lines = ndimage.label(ridge, _EIGHT_NEIGHBORS)  # line numbers from 1 on; 0 is the background
    numbers = np.arange(n_lines + 1)
    strongest = ndimage.maximum(strength, lines, numbers) if n_lines else np.zeros(1)
    n_pixels = np.bincount(lines.ravel(), minlength=n_lines + 1)
    keep = (np.asarray(strongest) >= high) & (n_pixels >= shortest)
    keep[0] = False
    return keep[lines]


def on_ridge(strength, down, right):
    """Find the pixels at which the gradient is a maximum along its own direction (non-maximum suppression).

    Args:
        strength: length of the gradient, (H, W).
        down, right: the gradient, (H, W) each.

    Returns:
        (H, W) bool. Of two equal neighbors, only the first is true.
    """
    length = np.maximum(np.hypot(down, right), 1e-12)
    sign = np.where(right + 0.3 * down < 0, -1, 1)  # opposite gradients have the same direction
    direction = np.stack((down, right)) * sign / length
    position = np.indices(strength.shape, dtype=np.float64)
    ahead = ndimage.map_coordinates(strength, position + direction, order=1, mode="nearest")
    behind = ndimage.map_coordinates(strength, position - direction, order=1, mode="nearest")
    return (strength > behind + _TOLERANCE) & (strength >= ahead - _TOLERANCE)

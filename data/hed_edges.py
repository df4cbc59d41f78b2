"""Find edges with HED, thinned to lines as in the edges2shoes of pix2pix."""
import numpy as np
from PIL import Image
from scipy import ndimage

from compression.runtime.images import to_tensor

from .canny import keep_lines, on_ridge

_BORDER = 32  # pixels by which a photo is continued (reflected) beyond its borders; a multiple of 16
# smaller photos are enlarged for the network, whose lines are several pixels wide; edges2shoes has this size
_MIN_SIDE = 256
# a pixel of a line has at least this share of its neighbors' strength; no lines lead outward from corners
_LEAST_SHARE = 0.8


def edge_strength(net, photo):
    """Compute the strength of edges with HED.

    Args:
        net: a :class:`compression.distill.hed.HED`.
        photo: (H, W, 3) uint8.

    Returns:
        The probability of an edge, times 255, (H, W) float64.
    """
    height, width = photo.shape[:2]
    factor = -(-_MIN_SIDE // min(height, width))
    if factor > 1:
        size = (factor * width, factor * height)
        photo = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))
    border = [min(_BORDER, side - 1) for side in photo.shape[:2]]
    padded = np.pad(photo, [(side, side) for side in border] + [(0, 0)], mode="reflect")
    edges = 255 * net.edges(to_tensor(padded))[0, 0].double().numpy()
    edges = edges[border[0]:border[0] + photo.shape[0], border[1]:border[1] + photo.shape[1]]
    return edges.reshape(height, factor, width, factor).mean((1, 3))


def find_hed_edges(net, photo, sigma, low, high, shortest=1):
    """Find the edges of a photo: the ridges of the strength that HED computes.

    At every pixel, the direction across the line is that in which the smoothed strength curves down most. As
    in the post-processing of edges2shoes (Isola et al., CVPR 2017), the strength is suppressed where it is no
    maximum in this direction, and short lines are dropped.

    Args:
        net: a :class:`compression.distill.hed.HED`.
        photo: (H, W, 3) uint8.
        sigma: standard deviation of the smoothing, in pixels, above 0.
        low, high: probabilities of an edge, times 255. A line is above `low` everywhere and above `high`
            somewhere.
        shortest: minimum number of connected pixels of a line.

    Returns:
        (H, W) bool, true on lines.
    """
    strength = edge_strength(net, photo)
    down_down, down_right, right_right = (
        ndimage.gaussian_filter(strength, sigma, order=order, mode="nearest")
        for order in ((2, 0), (1, 1), (0, 2)))
    angle = 0.5 * np.arctan2(2 * down_right, down_down - right_right)  # of the largest curvature
    smooth = ndimage.gaussian_filter(strength, sigma / 2, mode="nearest")
    near_top = smooth >= _LEAST_SHARE * ndimage.maximum_filter(smooth, 3)
    ridge = on_ridge(smooth, -np.sin(angle), np.cos(angle)) & near_top & (strength >= low)
    return keep_lines(ridge, strength, high, shortest)

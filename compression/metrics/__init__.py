"""Measures of image quality. One file an idea; each is an accumulator with update() and compute()."""
from .image import ImageMetrics

__all__ = ["ImageMetrics"]

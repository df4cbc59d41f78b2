"""The generator families; importing this package registers them."""
from . import resnet, unet, pix2pixhd, spade  # noqa: F401,I001  (the order of the family table)
from .base import ElasticGenerator

__all__ = ["ElasticGenerator"]

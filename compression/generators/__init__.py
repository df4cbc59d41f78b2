"""The generator families; importing this package registers them."""
from . import resnet, unet  # noqa: F401
from .base import ElasticGenerator

__all__ = ["ElasticGenerator"]

"""Flags of the second generation: the device is the script's business."""

from .shared_options import SharedOptions


class BaseOptions(SharedOptions):
    """The shared flags."""

"""Colorization: Pix2Pix from the lightness of a photo to its colors (as in upstream)."""
from .pix2pix_model import Pix2PixModel


class ColorizationModel(Pix2PixModel):
    """Pix2Pix on the channels of CIE Lab. Images are shown and scored in RGB."""

    defaults = {"netG": "unet_256", "dataset_mode": "colorization"}

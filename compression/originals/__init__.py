"""Parts of the originals' training: discriminators, objectives, style encoder, spectral norm,
initialization."""

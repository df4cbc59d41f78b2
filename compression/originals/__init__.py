"""What the originals bring along: discriminators, objectives, style encoder, spectral norm, initialization."""

"""Stage 2: distillation losses, the Adaptive Data Filter, features for comparing images, SSIM."""

"""Stage 2: the distillation losses, the features they compare, and the Adaptive Data Filter."""

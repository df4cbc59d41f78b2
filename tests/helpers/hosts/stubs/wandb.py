"""Stands in for wandb, which the second host imports but does not use here."""

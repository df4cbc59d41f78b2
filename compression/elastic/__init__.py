"""Elastic networks: architectures, generator families, layers of variable width, traces and extraction."""

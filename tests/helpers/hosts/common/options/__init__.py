"""Command lines of the host."""

"""Command-line options in upstream's names."""

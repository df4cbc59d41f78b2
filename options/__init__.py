"""Command-line options with the names of upstream."""

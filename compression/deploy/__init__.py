"""Deployment: exact rewrites, exported files, and the runtimes that open them."""

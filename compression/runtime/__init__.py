"""Support for running networks: processes, module modes, memory estimates, images and input encodings."""

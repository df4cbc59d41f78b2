"""Host utilities: entry-point handling, images, pages, progress and logs."""

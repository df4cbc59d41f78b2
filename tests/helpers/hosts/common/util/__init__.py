"""Images, pages and logs of the host."""

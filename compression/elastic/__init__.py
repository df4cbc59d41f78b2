"""What an elastic network is: architectures, families, layers of variable width, traces and extraction."""

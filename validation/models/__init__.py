"""Models of the studies."""

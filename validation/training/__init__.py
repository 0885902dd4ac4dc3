"""Training the models of the studies."""

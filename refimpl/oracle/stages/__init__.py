"""The stages of an implementation, from gradients to responses."""

"""Asking an implementation everything, and the ways to start that."""

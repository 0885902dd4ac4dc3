"""Runs of an implementation: all checks on all cases, drawn cases, the smoke test, and pytest items."""

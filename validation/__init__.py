"""Studies on real data: what one runs from the repository. `python -m validation report`."""

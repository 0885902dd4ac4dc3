"""The regression gate: new figures against the intervals of a committed baseline."""

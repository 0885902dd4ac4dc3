"""What influences are compared with when models are retrained, by the names that pages show."""

__all__ = ["HALVES", "NEAR", "PBRF", "SCRATCH", "WARM"]

SCRATCH = "LOO, from scratch"
WARM = "LOO, warm start"
NEAR = "LOO, warm start + proximity"
PBRF = "PBRF −1/N"
HALVES = "random halves"

"""The judge judged: honest implementations, the matrix of faults, and the margins of every check."""

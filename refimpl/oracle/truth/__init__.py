"""The right answers to a case, and the scale of their errors."""

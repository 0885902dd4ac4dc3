"""A study as parts: each computed once, by any executor, and saved as it finishes."""

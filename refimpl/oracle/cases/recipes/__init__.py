"""The recipes of all cases, found by their place here: a new case is one function under `recipe`."""

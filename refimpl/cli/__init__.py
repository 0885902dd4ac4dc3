"""The commands of `refimpl`: a module for each, named after it."""

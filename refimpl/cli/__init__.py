"""The commands of `refimpl`, a file for each that has arguments of its own."""

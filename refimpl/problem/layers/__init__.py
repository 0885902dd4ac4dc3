"""The layers whose weights can be tracked, each seen as one matrix [W | b] acting on rows."""

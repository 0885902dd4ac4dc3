"""Scores: the influence of examples and of tokens, directly, in an eigenbasis, or in low rank."""

from refimpl.scores.examples import (
    influence as influence,
    self_influence as self_influence,
    token_influence as token_influence,
)

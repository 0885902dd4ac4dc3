"""Scores: the influence of examples and of tokens, directly, in an eigenbasis, or in low rank."""

from refimpl.scores.examples import (
    influence as influence,
    self_influence as self_influence,
)
from refimpl.scores.tokens import token_influence as token_influence

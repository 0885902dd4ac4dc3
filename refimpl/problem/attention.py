"""Attention by its plain formula, whose derivatives torch has."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["plain_attention"]


@contextmanager
def plain_attention() -> Generator[None]:
    """Run models without torch's fused attention.

    The fast path of nn.MultiheadAttention and nn.TransformerEncoderLayer has no derivative at all, and
    is taken wherever no tensor says that it requires one, as inside vmap; the fused kernels behind
    scaled_dot_product_attention have no second one.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)

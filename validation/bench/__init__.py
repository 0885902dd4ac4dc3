"""Benches of the exact and the fast answers' cost, each beside the libraries that the field uses."""

from validation.bench import dense, ekfac, influences, responses

__all__ = ["BENCHES"]

BENCHES = {b.name: b for b in (dense.BENCH, influences.BENCH, ekfac.BENCH, responses.BENCH)}

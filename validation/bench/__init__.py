"""Benches: what the exact answer and the fast one cost, each beside what the field uses."""

from validation.bench import dense, ekfac, influences, responses

__all__ = ["BENCHES"]

BENCHES = {b.name: b for b in (dense.BENCH, influences.BENCH, ekfac.BENCH, responses.BENCH)}

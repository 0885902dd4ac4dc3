"""Bands of the suite's statistical comparisons, from refimpl.oracle.truth.concentration.

One run of the suite raises a false alarm with probability at most ALPHA, which all its statistical
comparisons share equally (Bonferroni). Seeds are fixed, so that what passes once passes always; ALPHA
says how little the choice of those seeds can have to do with it.
"""

from evidence import within
from torch import Tensor

ALPHA = 1e-6
# Every statistical comparison of the suite, by the name that `decide` is given. `decide` refuses a
# name that is not here and a number of probes that is not this one, so that the list cannot go stale.
PROBES = {
    # tests/sampling/test_factors.py: 2 layers x (9 of S [x 2 ways of sharing weights] + 10 of Lambda)
    "cross-entropy, 1 sample": 38,
    "cross-entropy, 8 samples": 38,
    "weighted cross-entropy on tokens, 1 sample": 56,
    "weighted cross-entropy on tokens, 8 samples": 56,
    "binary cross-entropy, 1 sample": 38,
    "binary cross-entropy, 8 samples": 38,
    "weighted binary cross-entropy on tokens, 1 sample": 56,
    "weighted binary cross-entropy on tokens, 8 samples": 56,
    "squared error, 1 sample": 38,
    "squared error, 8 samples": 38,
    "squared error on tokens, 1 sample": 56,
    "squared error on tokens, 8 samples": 56,
    # tests/sampling/test_draws.py: 2 layers x 9 of S
    "variance over seeds, cross-entropy": 18,
    "variance over seeds, weighted binary cross-entropy on tokens": 18,
    "variance over seeds, squared error": 18,
    "variance over seeds, 40 copies in batches of 4": 18,
    "variance over seeds, 40 copies in one batch": 18,
    "variance over seeds, 40 samples of one example": 18,
    # tests/sampling/test_bands.py: simulations of the bands themselves
    "false alarms of the bands": 4,
    "errors missed": 4,
}
SHARE = ALPHA / sum(PROBES.values())


def decide(name: str, deviation: Tensor, bound: Tensor | float) -> None:
    """Assert |deviation| <= bound for the probes that PROBES foresees under this name.

    Args:
        name: A key of PROBES.
        deviation: Deviations, one per probe.
        bound: Their bands.
    """
    assert deviation.numel() == PROBES[name], f"PROBES[{name!r}] must be {deviation.numel()}"
    within(deviation.abs(), bound, name)

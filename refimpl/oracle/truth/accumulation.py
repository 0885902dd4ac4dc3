"""Bounds on the rounding error of the sums behind A and S."""

from weakref import WeakKeyDictionary

from refimpl.fast.kfac import mean_row
from refimpl.oracle.question.case import Array
from refimpl.oracle.truth.biases import split_factors
from refimpl.oracle.truth.truth import Truth

__all__ = ["absolute_sums"]


_sums_of: WeakKeyDictionary[Truth, dict[str, tuple[Array, Array]]] = WeakKeyDictionary()


def absolute_sums(truth: Truth) -> dict[str, tuple[Array, Array]]:
    """sqrt(K) B of each factor, B being its sum over absolute values, of K terms.

    The rounding error of a sum of K terms is bounded by u K B, and by u sqrt(K) B times a small
    number with high probability (Higham & Mary 2019): `factors` have this scale besides that of
    the problem itself.

    Args:
        truth: Right answers to a case, with the pseudo-gradients that are summed.

    Returns:
        sqrt(K) B of A [I, I] and of S [O, O], by layer.
    """
    if truth not in _sums_of:
        _sums_of[truth] = _absolute_sums(truth)
    return _sums_of[truth]


def _absolute_sums(truth: Truth) -> dict[str, tuple[Array, Array]]:
    new = truth.problem.parameters.new_zeros
    blocks = {b.name: b for b in truth.case.blocks}
    A = {n: new(b.inputs, b.inputs) for n, b in blocks.items()}
    S = {n: new(b.outputs, b.outputs) for n, b in blocks.items()}
    rows, columns = dict.fromkeys(blocks, 0), dict.fromkeys(blocks, 0)
    for sweep in truth.passes():
        for name, g in sweep.gradients.items():
            a, g = sweep.inputs[name].abs(), g.abs()
            counted = sweep.counted[name]
            if truth.conventions.weight_sharing == "reduce":
                a, counted = mean_row(a, counted)
                g = g.sum(dim=2, keepdim=True)
            flat = g.flatten(0, 2)
            S[name] += flat.T @ flat
            columns[name] += len(flat)
            if sweep.first:
                A[name] += a[counted].T @ a[counted]
                rows[name] += int(counted.sum())
    sums: dict[str, tuple[Array, Array]] = {}
    for name in blocks:
        a = A[name].numpy() / max(rows[name], 1) ** 0.5
        s = truth.second_moment_scale * S[name].numpy() / truth.case.num_examples
        sums[name] = a, s * columns[name] ** 0.5
    return split_factors(sums, truth.case.blocks, truth.conventions)

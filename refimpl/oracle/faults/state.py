"""Faults of state: results kept where they should be made anew, and what an earlier call left."""

from typing import Any

import torch
from torch.nn import functional as F

from refimpl.oracle.faults.fault import Fault

__all__ = ["FAULTS"]

BUG = "state"


def _kept(me: Any, name: str) -> dict[Any, Any]:
    """Where a faulty implementation keeps what it should not."""
    if not hasattr(me, "kept"):
        me.kept = {}
    return me.kept.setdefault(name, {})


def _cached(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """Keyed by the case's name: other data under that name get the old answer."""
    held = _kept(me, getattr(right.func, "__qualname__", "answer"))
    if case.id not in held:
        held[case.id] = right(case, *args)
    return held[case.id]


def _cached_by_shape(right: Any, me: Any, factors: Any) -> Any:
    held = _kept(me, "basis")
    key = tuple((n, A.shape, S.shape) for n, (A, S) in factors.items())
    if key not in held:
        held[key] = right(factors)
    return held[key]


def _accumulating(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """Sums are never set back to zero: the second call adds to the first."""
    held = _kept(me, "sums")
    found = right(case, *args)
    if case.id in held:
        found = _added(held[case.id], found)
    held[case.id] = found
    return found


def _added(old: Any, new: Any) -> Any:
    if isinstance(new, dict):
        return {n: _added(old[n], new[n]) if n in old else new[n] for n in new}
    if isinstance(new, tuple):
        return tuple(_added(o, n) for o, n in zip(old, new, strict=True))
    return old + new if old.shape == new.shape else new


def _output_for_input(right: Any, me: Any, a: Any, s: Any) -> Any:
    return s if s.shape == a.shape else a


def _overwritten(right: Any, me: Any, a: Any, s: Any) -> Any:
    return F.relu(a)


def _first_mask(right: Any, me: Any, case: Any, module: Any, a: Any, y: Any, R: int) -> Any:
    held = _kept(me, "mask")
    found = right(case, module, a, y, R)
    first = held.setdefault((case.id, R), found)
    return first[: len(found)] if len(found) <= len(first) else found


def _running_average(right: Any, me: Any, factors: Any) -> Any:
    """Factors are averaged with those of earlier calls, as an optimiser does."""
    held = _kept(me, "average")
    key = tuple((n, A.shape, S.shape) for n, (A, S) in factors.items())
    old = held.get(key, factors)
    held[key] = {
        n: tuple(0.95 * o + 0.05 * f for o, f in zip(old[n], factors[n], strict=True))
        for n in factors
    }
    return right(held[key])


def _damping_added_up(right: Any, me: Any, state: Any, vectors: Any, damping: float) -> Any:
    """The damping is added to the eigenvalues in place, at every call again."""
    held = _kept(me, "added")
    held[state.case.id] = held.get(state.case.id, 0.0) + damping
    return right(state, vectors, held[state.case.id])


def _first_damping(right: Any, me: Any, state: Any, vectors: Any, damping: float) -> Any:
    return right(state, vectors, _kept(me, "damping").setdefault(state.case.id, damping))


def _drifting(right: Any, me: Any, case: Any) -> Any:
    """Every call leaves the weights a little changed, as a forgotten optimiser step does."""
    model = right(case)
    held = _kept(me, "drift")
    held[case.id] = held.get(case.id, -1) + 1
    with torch.no_grad():
        for p in model.parameters():
            p *= 1 + 1e-6 * held[case.id]
    return model


def _after_activation(right: Any, me: Any, run: Any, v: Any) -> Any:
    """Gradients in what comes after the layer's tanh, where there is one that fits."""
    found = right(run, v)
    for name, g in found.items():
        s = torch.cat(
            [
                me.output_rows(module, s.detach()[None])[0, :, names.index(name)]
                for names, module, s in run.calls
                if name in names
            ],
            dim=1,
        )
        if run.graph.shape[-1] != s.shape[-1] or s.shape[1] != run.graph.shape[1]:
            found[name] = g / (1 - torch.tanh(s) ** 2)
    return found


def _queries_kept(right: Any, me: Any, case: Any) -> Any:
    return _kept(me, "queries").setdefault(case.id, right(case))


FAULTS = (
    Fault(
        "gradients-cached-by-name", BUG, "gradients",
        "gradients of an earlier data set of the same name are returned",
        "training_gradients", _cached, "pomonam/kronfluence overwrite_output_dir",
    ),
    Fault(
        "factors-cached-by-name", BUG, "factors",
        "factors of an earlier data set of the same name are returned",
        "factors", _cached, "pomonam/kronfluence overwrite_output_dir",
    ),
    Fault(
        "lambda-cached-by-name", BUG, "eigenvalues",
        "Lambda of an earlier data set, or of an earlier basis, is returned",
        "eigenvalues", _cached, "pomonam/kronfluence overwrite_output_dir",
    ),
    Fault(
        "scores-cached-by-name", BUG, "scores",
        "scores of an earlier data set of the same name are returned",
        "scores", _cached, "pomonam/kronfluence overwrite_output_dir",
    ),
    Fault(
        "curvature-cached-by-name", BUG, "gauss_newton",
        "products use the matrix of an earlier data set of the same name",
        "gauss_newton_rows", _cached,
    ),
    Fault(
        "basis-cached-by-shape", BUG, "eigenbasis",
        "the eigendecomposition of earlier factors of the same shape is returned",
        "eigenbasis", _cached_by_shape, "pomonam/kronfluence overwrite_output_dir",
    ),
    Fault(
        "basis-of-running-average", BUG, "eigenbasis",
        "the eigendecomposition is that of a running average of the factors over the calls",
        "eigenbasis", _running_average,
    ),
    Fault(
        "damping-accumulates-over-calls", BUG, "solve",
        "the damping is added to the eigenvalues in place, at every call again",
        "solve", _damping_added_up,
    ),
    Fault(
        "factors-accumulate-over-calls", BUG, "factors",
        "sums are not set back: a second call adds to the first",
        "factors", _accumulating,
    ),
    Fault(
        "lambda-accumulates-over-calls", BUG, "eigenvalues",
        "the sum of Lambda is not set back: a second call adds to the first",
        "eigenvalues", _accumulating,
    ),
    Fault(
        "output-for-input", BUG, "gradients",
        "a square layer's output is taken for its input",
        "layer_input", _output_for_input,
    ),
    Fault(
        "input-overwritten-in-place", BUG, "gradients",
        "an in-place activation overwrites the saved input of a layer",
        "layer_input", _overwritten, "f-dangel/curvlinops#59",
    ),
    Fault(
        "gradient-after-activation", BUG, "gradients",
        "gradients are taken after the activation, not before",
        "backward", _after_activation,
    ),
    Fault(
        "mask-of-first-batch", BUG, "factors",
        "the mask of the first batch serves all batches",
        "counted_rows", _first_mask,
    ),
    Fault(
        "damping-of-first-call", BUG, "solve",
        "the first call's damping serves all later ones",
        "solve", _first_damping,
    ),
    Fault(
        "weights-drift", BUG, "gradients",
        "every call leaves the weights a little changed",
        "module", _drifting,
    ),
    Fault(
        "queries-cached-by-name", BUG, "scores",
        "gradients of earlier queries are used again",
        "query_gradients", _queries_kept,
    ),
)  # fmt: skip

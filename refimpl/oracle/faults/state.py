"""Faults of state: results reused that should be recomputed, and traces of earlier calls."""

from typing import Any

import torch
from torch.nn import functional as F

from refimpl.oracle.faults.fault import mistake


def _memory(me: Any, name: str) -> dict[Any, Any]:
    """Storage of a faulty implementation between calls, by name."""
    if not hasattr(me, "memory"):
        me.memory = {}
    return me.memory.setdefault(name, {})


def _cached(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """Keyed by the case's name: other data under that name get the old answer."""
    memory = _memory(me, getattr(right.func, "__qualname__", "answer"))
    if case.id not in memory:
        memory[case.id] = right(case, *args)
    return memory[case.id]


def _accumulating(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """Sums are never set back to zero: the second call adds to the first."""
    memory = _memory(me, "sums")
    answer = right(case, *args)
    if case.id in memory:
        answer = _added(memory[case.id], answer)
    memory[case.id] = answer
    return answer


def _added(old: Any, new: Any) -> Any:
    if isinstance(new, dict):
        return {n: _added(old[n], new[n]) if n in old else new[n] for n in new}
    if isinstance(new, tuple):
        return tuple(_added(o, n) for o, n in zip(old, new, strict=True))
    return old + new if old.shape == new.shape else new


@mistake("gradients", edits="training_gradients", thread="pomonam/kronfluence overwrite_output_dir")
def gradients_cached_by_name(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """gradients of an earlier data set of the same name are returned"""
    return _cached(right, me, case, *args)


@mistake("factors", edits="factors", thread="pomonam/kronfluence overwrite_output_dir")
def factors_cached_by_name(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """factors of an earlier data set of the same name are returned"""
    return _cached(right, me, case, *args)


@mistake("eigenvalues", edits="eigenvalues", thread="pomonam/kronfluence overwrite_output_dir")
def lambda_cached_by_name(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """Lambda of an earlier data set, or of an earlier basis, is returned"""
    return _cached(right, me, case, *args)


@mistake("scores", edits="scores", thread="pomonam/kronfluence overwrite_output_dir")
def scores_cached_by_name(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """scores of an earlier data set of the same name are returned"""
    return _cached(right, me, case, *args)


@mistake("gauss_newton", edits="gauss_newton_rows")
def curvature_cached_by_name(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """products use the matrix of an earlier data set of the same name"""
    return _cached(right, me, case, *args)


@mistake("eigenbasis", edits="eigenbasis", thread="pomonam/kronfluence overwrite_output_dir")
def basis_cached_by_shape(right: Any, me: Any, factors: Any) -> Any:
    """the eigendecomposition of earlier factors of the same shape is returned"""
    memory = _memory(me, "basis")
    key = tuple((n, A.shape, S.shape) for n, (A, S) in factors.items())
    if key not in memory:
        memory[key] = right(factors)
    return memory[key]


@mistake("eigenbasis", edits="eigenbasis")
def basis_of_running_average(right: Any, me: Any, factors: Any) -> Any:
    """the eigendecomposition is that of a running average of the factors over the calls

    Factors are averaged with those of earlier calls, as an optimiser does.
    """
    memory = _memory(me, "average")
    key = tuple((n, A.shape, S.shape) for n, (A, S) in factors.items())
    old = memory.get(key, factors)
    memory[key] = {
        n: tuple(0.95 * o + 0.05 * f for o, f in zip(old[n], factors[n], strict=True))
        for n in factors
    }
    return right(memory[key])


@mistake("solve", edits="solve")
def damping_accumulates_over_calls(
    right: Any, me: Any, state: Any, vectors: Any, damping: float
) -> Any:
    """the damping is added to the eigenvalues in place, at every call again

    The damping is added to the eigenvalues in place, at every call again.
    """
    memory = _memory(me, "added")
    memory[state.case.id] = memory.get(state.case.id, 0.0) + damping
    return right(state, vectors, memory[state.case.id])


@mistake("factors", edits="factors")
def factors_accumulate_over_calls(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """sums are not set back: a second call adds to the first"""
    return _accumulating(right, me, case, *args)


@mistake("eigenvalues", edits="eigenvalues")
def lambda_accumulates_over_calls(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the sum of Lambda is not set back: a second call adds to the first"""
    return _accumulating(right, me, case, *args)


@mistake("gradients", edits="layer_input")
def output_for_input(right: Any, me: Any, a: Any, s: Any) -> Any:
    """a square layer's output is taken for its input"""
    return s if s.shape == a.shape else a


@mistake("gradients", edits="layer_input", thread="f-dangel/curvlinops#59")
def input_overwritten_in_place(right: Any, me: Any, a: Any, s: Any) -> Any:
    """an in-place activation overwrites the saved input of a layer"""
    return F.relu(a)


@mistake("gradients", edits="backward")
def gradient_after_activation(right: Any, me: Any, run: Any, v: Any) -> Any:
    """gradients are taken after the activation, not before

    Gradients in what comes after the layer's tanh, where there is one that fits.
    """
    answer = right(run, v)
    for name, g in answer.items():
        s = torch.cat(
            [
                me.output_rows(module, s.detach()[None])[0, :, names.index(name)]
                for names, module, s in run.calls
                if name in names
            ],
            dim=1,
        )
        if run.graph.shape[-1] != s.shape[-1] or s.shape[1] != run.graph.shape[1]:
            answer[name] = g / (1 - torch.tanh(s) ** 2)
    return answer


@mistake("factors", edits="counted_rows")
def mask_of_first_batch(right: Any, me: Any, case: Any, module: Any, a: Any, y: Any, R: int) -> Any:
    """the mask of the first batch serves all batches"""
    memory = _memory(me, "mask")
    answer = right(case, module, a, y, R)
    first = memory.setdefault((case.id, R), answer)
    return first[: len(answer)] if len(answer) <= len(first) else answer


@mistake("solve", edits="solve")
def damping_of_first_call(right: Any, me: Any, state: Any, vectors: Any, damping: float) -> Any:
    """the first call's damping serves all later ones"""
    return right(state, vectors, _memory(me, "damping").setdefault(state.case.id, damping))


@mistake("gradients", edits="module")
def weights_drift(right: Any, me: Any, case: Any) -> Any:
    """every call leaves the weights a little changed

    Every call leaves the weights a little changed, as a forgotten optimiser step does.
    """
    model = right(case)
    memory = _memory(me, "drift")
    memory[case.id] = memory.get(case.id, -1) + 1
    with torch.no_grad():
        for p in model.parameters():
            p *= 1 + 1e-6 * memory[case.id]
    return model


@mistake("scores", edits="query_gradients")
def queries_cached_by_name(right: Any, me: Any, case: Any) -> Any:
    """gradients of earlier queries are used again"""
    return _memory(me, "queries").setdefault(case.id, right(case))

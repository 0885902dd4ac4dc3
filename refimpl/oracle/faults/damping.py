"""Faults of damping: the wrong amount, in the wrong place."""

from typing import Any

import numpy as np

from refimpl.oracle.faults.fault import mistake

RELATIVE = {"damping": "relative"}
FACTORED = {"damping": "factored"}


def _undamped(me: Any, w_A: Any, w_S: Any, Lambda: Any) -> Any:
    return np.outer(w_S, w_A) if Lambda is None or me.declaration.curvature == "kfac" else Lambda


def _with_damping(right: Any, me: Any, case: Any, *args: Any, kind: str) -> Any:
    """The right answer in another convention of damping."""
    return right(case.but(conventions=case.conventions.but(damping=kind)), *args)


@mistake("solve", edits="damped")
def damping_added_twice(right: Any, me: Any, *args: Any) -> Any:
    """the damping is added twice"""
    return right(*args[:-1], 2 * args[-1])


@mistake("solve", edits="damped")
def damping_ignored(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, Lambda: Any, damping: float
) -> Any:
    """the damping is ignored; null directions are left out"""
    D = _undamped(me, w_A, w_S, Lambda)
    return np.where(1e-10 * D.max() < D, D, np.inf)  # a pseudo-inverse


@mistake("solve", edits="damped", thread="pomonam/kronfluence damping_factor")
def damping_relative_for_absolute(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the damping is a multiple of the mean eigenvalue where an absolute one is declared"""
    return _with_damping(right, me, case, *args, kind="relative")


@mistake("solve", edits="damped", thread="pomonam/kronfluence damping_factor", conventions=RELATIVE)
def damping_absolute_for_relative(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the damping is absolute where a multiple of the mean eigenvalue is declared"""
    return _with_damping(right, me, case, *args, kind="absolute")


@mistake("solve", edits="damped", conventions=RELATIVE)
def damping_relative_to_largest(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, Lambda: Any, damping: Any
) -> Any:
    """the damping is relative to the largest eigenvalue, not to their mean"""
    return _undamped(me, w_A, w_S, Lambda) + damping * _undamped(me, w_A, w_S, Lambda).max()


@mistake("solve", edits="damped", conventions=RELATIVE)
def damping_relative_to_median(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, Lambda: Any, damping: Any
) -> Any:
    """the damping is relative to the median eigenvalue, not to their mean"""
    return _undamped(me, w_A, w_S, Lambda) + damping * np.median(_undamped(me, w_A, w_S, Lambda))


@mistake("solve", edits="solve", conventions=RELATIVE)
def damping_relative_to_all_layers(
    right: Any, me: Any, state: Any, vectors: Any, damping: float
) -> Any:
    """the damping is relative to the mean eigenvalue of all layers, not of each"""
    every = np.concatenate([m.ravel() for m in state.eigenvalues.values()])
    case = state.case.but(conventions=state.case.conventions.but(damping="absolute"))
    return right(
        type(state)(case, state.factors, state.basis, state.eigenvalues),
        vectors,
        damping * every.mean(),
    )


@mistake("solve", edits="damped", thread="f-dangel/curvlinops#92", curvature="kfac")
def damping_factored_for_absolute(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, Lambda: Any, damping: float
) -> Any:
    """the damping is split between the factors where an exact one is declared"""
    pi = (w_A.mean() / w_S.mean()) ** 0.5 if w_A.mean() > 0 and w_S.mean() > 0 else 1.0
    return np.outer(w_S + damping**0.5 / pi, w_A + damping**0.5 * pi)


@mistake(
    "solve", edits="damped", thread="f-dangel/curvlinops#92", conventions=FACTORED, curvature="kfac"
)
def damping_exact_for_factored(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the damping is exact where it is declared as split between the factors"""
    return _with_damping(right, me, case, *args, kind="absolute")


@mistake("solve", edits="damped", conventions=FACTORED, curvature="kfac")
def damping_pi_upside_down(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, Lambda: Any, damping: float
) -> Any:
    """factored damping multiplies where it divides by pi"""
    pi = (w_A.mean() / w_S.mean()) ** 0.5 if w_A.mean() > 0 and w_S.mean() > 0 else 1.0
    return np.outer(w_S + damping**0.5 * pi, w_A + damping**0.5 / pi)


@mistake("solve", edits="damped", conventions=FACTORED, curvature="kfac")
def damping_pi_of_traces(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, Lambda: Any, damping: float
) -> Any:
    """pi is the ratio of the traces, not of the mean eigenvalues"""
    pi = (w_A.sum() / w_S.sum()) ** 0.5 if w_A.sum() > 0 and w_S.sum() > 0 else 1.0
    return np.outer(w_S + damping**0.5 / pi, w_A + damping**0.5 * pi)


@mistake("solve", edits="damped", curvature="kfac")
def damping_whole_on_each_factor(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, Lambda: Any, damping: Any
) -> Any:
    """lambda, not its root, is added to each factor"""
    return np.outer(w_S + damping, w_A + damping)


@mistake("solve", edits="damped")
def damping_square_root(right: Any, me: Any, *args: Any) -> Any:
    """the root of lambda is added"""
    return right(*args[:-1], args[-1] ** 0.5)


@mistake("solve", edits="damped", thread="aleximmer/Laplace prior precision")
def damping_times_n(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the damping is multiplied by the number of examples, as for a summed matrix"""
    return right(case, *args[:-1], args[-1] * case.num_examples)


@mistake("solve", edits="damped")
def damping_over_n(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the damping is divided by the number of examples"""
    return right(case, *args[:-1], args[-1] / case.num_examples)


@mistake("solve", edits="damped")
def damping_halved(right: Any, me: Any, *args: Any) -> Any:
    """half of lambda is added, as for a penalty lambda/2 on the loss's scale"""
    return right(*args[:-1], args[-1] / 2)


@mistake("solve", edits="damped")
def damping_as_floor(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, Lambda: Any, damping: Any
) -> Any:
    """eigenvalues are raised to lambda at least, not by lambda"""
    return np.maximum(_undamped(me, w_A, w_S, Lambda), damping)


@mistake("solve", edits="damped", thread="pomonam/kronfluence damping_factor")
def damping_default_taken(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, Lambda: Any, damping: Any
) -> Any:
    """the library's default of a tenth of the mean eigenvalue is used, whatever is asked for"""
    return _undamped(me, w_A, w_S, Lambda) + 0.1 * _undamped(me, w_A, w_S, Lambda).mean()


@mistake("solve", edits="invert_damped", curvature="gauss_newton")
def damping_scales_diagonal(right: Any, me: Any, G: Any, vectors: Any, damping: Any) -> Any:
    """the matrix's own diagonal is raised by lambda times itself, as Marquardt does"""
    return np.linalg.solve(G + damping * np.diag(np.diag(G)) + 1e-12 * np.eye(len(G)), vectors.T).T


@mistake("solve", edits="solve", curvature="gauss_newton")
def gauss_newton_damping_over_n(right: Any, me: Any, state: Any, V: Any, damping: Any) -> Any:
    """the damping of the Gauss-Newton solve is divided by the number of examples"""
    return right(state, V, damping / state.case.num_examples)


@mistake("gauss_newton", edits="gauss_newton")
def damping_in_products(right: Any, me: Any, case: Any, V: Any) -> Any:
    """products with the undamped matrix are damped"""
    return right(case, V) + case.damping * V

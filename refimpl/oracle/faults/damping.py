"""Faults of damping: the wrong amount, in the wrong place."""

from typing import Any

import numpy as np

from refimpl.oracle.faults.fault import Fault

__all__ = ["FAULTS"]

BUG = "damping"
RELATIVE = {"damping": "relative"}
FACTORED = {"damping": "factored"}


def _own(me: Any, w_A: Any, w_S: Any, own: Any) -> Any:
    return np.outer(w_S, w_A) if own is None or me.declaration.curvature == "kfac" else own


def _ignored(right: Any, me: Any, case: Any, w_A: Any, w_S: Any, own: Any, damping: float) -> Any:
    D = _own(me, w_A, w_S, own)
    return np.where(1e-10 * D.max() < D, D, np.inf)  # a pseudo-inverse


def _factored(right: Any, me: Any, case: Any, w_A: Any, w_S: Any, own: Any, damping: float) -> Any:
    pi = (w_A.mean() / w_S.mean()) ** 0.5 if w_A.mean() > 0 and w_S.mean() > 0 else 1.0
    return np.outer(w_S + damping**0.5 / pi, w_A + damping**0.5 * pi)


def _pi_upside_down(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, own: Any, damping: float
) -> Any:
    pi = (w_A.mean() / w_S.mean()) ** 0.5 if w_A.mean() > 0 and w_S.mean() > 0 else 1.0
    return np.outer(w_S + damping**0.5 * pi, w_A + damping**0.5 / pi)


def _pi_of_traces(
    right: Any, me: Any, case: Any, w_A: Any, w_S: Any, own: Any, damping: float
) -> Any:
    pi = (w_A.sum() / w_S.sum()) ** 0.5 if w_A.sum() > 0 and w_S.sum() > 0 else 1.0
    return np.outer(w_S + damping**0.5 / pi, w_A + damping**0.5 * pi)


def _mean_of_all_layers(right: Any, me: Any, state: Any, vectors: Any, damping: float) -> Any:
    every = np.concatenate([m.ravel() for m in state.eigenvalues.values()])
    case = state.case.but(conventions=state.case.conventions.but(damping="absolute"))
    return right(
        type(state)(case, state.factors, state.basis, state.eigenvalues),
        vectors,
        damping * every.mean(),
    )


def _as(kind: str) -> Any:
    """An edit of `damped`: another of the conventions."""
    return lambda right, me, case, *args: right(
        case.but(conventions=case.conventions.but(damping=kind)), *args
    )


FAULTS = (
    Fault(
        "damping-added-twice", BUG, "solve",
        "the damping is added twice",
        "damped", lambda right, me, *args: right(*args[:-1], 2 * args[-1]),
    ),
    Fault(
        "damping-ignored", BUG, "solve",
        "the damping is ignored; null directions are left out",
        "damped", _ignored,
    ),
    Fault(
        "damping-relative-for-absolute", BUG, "solve",
        "the damping is a multiple of the mean eigenvalue where an absolute one is declared",
        "damped", _as("relative"), "pomonam/kronfluence damping_factor",
    ),
    Fault(
        "damping-absolute-for-relative", BUG, "solve",
        "the damping is absolute where a multiple of the mean eigenvalue is declared",
        "damped", _as("absolute"), "pomonam/kronfluence damping_factor", conventions=RELATIVE,
    ),
    Fault(
        "damping-relative-to-largest", BUG, "solve",
        "the damping is relative to the largest eigenvalue, not to their mean",
        "damped",
        lambda right, me, case, w_A, w_S, own, damping: _own(me, w_A, w_S, own)
        + damping * _own(me, w_A, w_S, own).max(),
        conventions=RELATIVE,
    ),
    Fault(
        "damping-relative-to-median", BUG, "solve",
        "the damping is relative to the median eigenvalue, not to their mean",
        "damped",
        lambda right, me, case, w_A, w_S, own, damping: _own(me, w_A, w_S, own)
        + damping * np.median(_own(me, w_A, w_S, own)),
        conventions=RELATIVE,
    ),
    Fault(
        "damping-relative-to-all-layers", BUG, "solve",
        "the damping is relative to the mean eigenvalue of all layers, not of each",
        "solve", _mean_of_all_layers, conventions=RELATIVE,
    ),
    Fault(
        "damping-factored-for-absolute", BUG, "solve",
        "the damping is split between the factors where an exact one is declared",
        "damped", _factored, "f-dangel/curvlinops#92", curvature="kfac",
    ),
    Fault(
        "damping-exact-for-factored", BUG, "solve",
        "the damping is exact where it is declared as split between the factors",
        "damped", _as("absolute"), "f-dangel/curvlinops#92", conventions=FACTORED, curvature="kfac",
    ),
    Fault(
        "damping-pi-upside-down", BUG, "solve",
        "factored damping multiplies where it divides by pi",
        "damped", _pi_upside_down, conventions=FACTORED, curvature="kfac",
    ),
    Fault(
        "damping-pi-of-traces", BUG, "solve",
        "pi is the ratio of the traces, not of the mean eigenvalues",
        "damped", _pi_of_traces, conventions=FACTORED, curvature="kfac",
    ),
    Fault(
        "damping-whole-on-each-factor", BUG, "solve",
        "lambda, not its root, is added to each factor",
        "damped",
        lambda right, me, case, w_A, w_S, own, damping: np.outer(w_S + damping, w_A + damping),
        curvature="kfac",
    ),
    Fault(
        "damping-square-root", BUG, "solve",
        "the root of lambda is added",
        "damped", lambda right, me, *args: right(*args[:-1], args[-1] ** 0.5),
    ),
    Fault(
        "damping-times-n", BUG, "solve",
        "the damping is multiplied by the number of examples, as for a summed matrix",
        "damped", lambda right, me, case, *args: right(case, *args[:-1], args[-1] * case.num_examples),
        "aleximmer/Laplace prior precision",
    ),
    Fault(
        "damping-over-n", BUG, "solve",
        "the damping is divided by the number of examples",
        "damped", lambda right, me, case, *args: right(case, *args[:-1], args[-1] / case.num_examples),
    ),
    Fault(
        "damping-halved", BUG, "solve",
        "half of lambda is added, as for a penalty lambda/2 on the loss's scale",
        "damped", lambda right, me, *args: right(*args[:-1], args[-1] / 2),
    ),
    Fault(
        "damping-as-floor", BUG, "solve",
        "eigenvalues are raised to lambda at least, not by lambda",
        "damped",
        lambda right, me, case, w_A, w_S, own, damping: np.maximum(
            _own(me, w_A, w_S, own), damping
        ),
    ),
    Fault(
        "damping-default-taken", BUG, "solve",
        "the library's default of a tenth of the mean eigenvalue is used, whatever is asked for",
        "damped",
        lambda right, me, case, w_A, w_S, own, damping: _own(me, w_A, w_S, own)
        + 0.1 * _own(me, w_A, w_S, own).mean(),
        "pomonam/kronfluence damping_factor",
    ),
    Fault(
        "damping-scales-diagonal", BUG, "solve",
        "the matrix's own diagonal is raised by lambda times itself, as Marquardt does",
        "invert_damped",
        lambda right, me, G, vectors, damping: np.linalg.solve(
            G + damping * np.diag(np.diag(G)) + 1e-12 * np.eye(len(G)), vectors.T
        ).T,
        curvature="gauss_newton",
    ),
    Fault(
        "gauss-newton-damping-over-n", BUG, "solve",
        "the damping of the Gauss-Newton solve is divided by the number of examples",
        "solve",
        lambda right, me, state, V, damping: right(state, V, damping / state.case.num_examples),
        curvature="gauss_newton",
    ),
    Fault(
        "damping-in-products", BUG, "gauss_newton",
        "products with the undamped matrix are damped",
        "gauss_newton", lambda right, me, case, V: right(case, V) + case.damping * V,
    ),
)  # fmt: skip

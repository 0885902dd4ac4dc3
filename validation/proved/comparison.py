"""Compare refimpl's float64 answers with their enclosures, within the bounds on rounding."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from flint import arb, arb_mat
from jaxtyping import Float
from numpy import ndarray

from validation.proved import arb_solves, rotation_bounds, solve_bounds
from validation.proved.answers import Answers, computed_answers
from validation.proved.arb_mlp import Enclosure, enclose
from validation.proved.arb_solves import Eigenpairs
from validation.proved.balls import (
    diagonal,
    distance,
    exact_balls,
    midpoints,
    row_slice,
    stack,
    working_precision,
)
from validation.proved.bounds import Bounds, corrected_eigenvalues, error_bounds
from validation.proved.problems import PROBLEMS, MicroProblem
from validation.proved.records import ProvedRecord, record
from validation.proved.rotation_bounds import LARGEST_TURN, Turned, turns
from validation.proved.rounding import Rounded, U, without_error
from validation.proved.solve_bounds import EIGENSOLVER, Vectors

__all__ = ["Truth", "compare", "enclosed_truth", "proved_records"]

Entry = tuple[str, ndarray, ndarray]  # quantity, errors, bounds


@dataclass(frozen=True)
class Truth:
    """Enclosures and bounds of one problem, and exact right-hand sides [k, P] for its solves."""

    enclosure: Enclosure
    bounds: Bounds
    eigenpairs: list[tuple[Eigenpairs | None, Eigenpairs | None]]
    vectors: Float[ndarray, "k P"]


def proved_records(problems: Sequence[MicroProblem] = PROBLEMS) -> list[ProvedRecord]:
    """Compare refimpl with the proved value of every quantity of every problem."""
    records: list[ProvedRecord] = []
    for problem in problems:
        known = enclosed_truth(problem)
        records.extend(compare(problem, known, computed_answers(problem, known.vectors)))
    return records


def enclosed_truth(problem: MicroProblem) -> Truth:
    """Enclose a problem's quantities and bound the float64 errors in computing them."""
    with working_precision():
        enclosure = enclose(problem)
        pairs = [tuple(arb_solves.eigenpairs(m) for m in factors) for factors in enclosure.factors]
        # A vector in general position, and gradients: those lie in the range of G.
        vectors = np.stack([problem.probe(), *midpoints(enclosure.gradients)[:2]])
    return Truth(enclosure, error_bounds(problem), [(a, s) for a, s in pairs], vectors)


def compare(problem: MicroProblem, known: Truth, computed: Answers) -> list[ProvedRecord]:
    """Every quantity of one problem: its error from the proved value against its bound."""
    with working_precision():
        entries = [
            *_derivatives(known, computed),
            *_factors(known, computed),
            *_own_basis(problem, known, computed),
            *_inverses(problem, known, computed),
            *_end_to_end(problem, known, computed),
        ]
    return [record(problem.name, *entry) for entry in entries]


def _derivatives(known: Truth, computed: Answers) -> Iterator[Entry]:
    e, b = known.enclosure, known.bounds
    yield "outputs", distance(computed.outputs, e.outputs), b.outputs.error
    yield "Jacobian", distance(computed.jacobian, e.jacobian), b.jacobian.error
    yield "gradients", distance(computed.gradients, e.gradients), b.gradients.error
    queries = distance(computed.query_gradients, e.query_gradients)
    yield "gradients of queries", queries, b.query_gradients.error
    yield (
        "GNH by definition",
        distance(computed.by_definition, e.gauss_newton),
        b.by_definition.error,
    )
    yield "GNH, structured", distance(computed.structured, e.gauss_newton), b.structured.error
    yield "Hessian", distance(computed.hessian, e.hessian), b.hessian.error


def _factors(known: Truth, computed: Answers) -> Iterator[Entry]:
    """A and S entry by entry; eigenvectors, where proved, by the sine of their angle."""
    for layer, (true, (A, S)) in enumerate(
        zip(known.enclosure.factors, known.bounds.factors, strict=True)
    ):
        yield "A", distance(computed.factors[layer][0], true[0]), A.error
        yield "S", distance(computed.factors[layer][1], true[1]), S.error
        for Q, pairs, factor in zip(
            computed.basis[layer], known.eigenpairs[layer], (A, S), strict=True
        ):
            if pairs is None or np.max(turns(factor, _values(pairs))) > LARGEST_TURN:
                continue
            # all gaps are wider than 1e3 ||E||: sin(angle) <= ||E|| / gap, the norm of q^ to 15 n u
            turn = turns(factor, _values(pairs)).max(axis=0) + EIGENSOLVER / 2 * len(Q) * U
            yield "eigenvectors", _sines(Q, pairs.vectors), turn


def _own_basis(problem: MicroProblem, known: Truth, computed: Answers) -> Iterator[Entry]:
    """Lambda, solves and influences of EK-FAC in refimpl's own eigenbasis, whatever the spectrum."""
    e, b = known.enclosure, known.bounds
    basis = [(exact_balls(Q_A), exact_balls(Q_S)) for Q_A, Q_S in computed.basis]
    true: list[arb_mat] = []
    limits: list[Rounded] = []
    for layer, ((Q_A, Q_S), place) in enumerate(zip(computed.basis, problem.slices, strict=True)):
        true.append(arb_solves.corrected_eigenvalues(e, layer, *basis[layer]))
        limits.append(corrected_eigenvalues(b.pseudo, layer, Q_A, Q_S))
        yield "Λ, own basis", distance(computed.eigenvalues[layer], true[-1]), limits[-1].error
        # tr (Q^T G Q) = tr G but for a basis orthonormal to 30 n u
        trace = sum((e.gauss_newton[i, i] for i in range(place.start, place.stop)), arb(0))
        total = sum(exact_balls(computed.eigenvalues[layer]).entries(), arb(0))
        error = float((total - trace).abs_upper())
        loose = EIGENSOLVER * (len(Q_A) + len(Q_S)) * U * float(trace.abs_upper())
        yield "trace of Λ", np.array(error), np.array(limits[-1].error.sum() + loose)
    solved = _solved(known, partial(arb_solves.solve_eigenbasis, problem, basis, true))
    limit = solve_bounds.own_basis_solve(problem, computed.basis, limits, solved.vectors.b)
    yield "EK-FAC solve, own basis", distance(computed.solves["EK-FAC"], solved.x), limit.error
    still = [
        Turned(Q_A, Q_S, np.zeros_like(Q_A), np.zeros_like(Q_S), limit, skew=0.0)
        for (Q_A, Q_S), limit in zip(computed.basis, limits, strict=True)
    ]
    error = distance(computed.influences["EK-FAC"], solved.influences)
    bound = rotation_bounds.influence_error(problem, still, solved.queries, solved.training)
    yield "EK-FAC influence, own basis", error, bound


def _inverses(problem: MicroProblem, known: Truth, computed: Answers) -> Iterator[Entry]:
    """Solves with the GNH and K-FAC by their Euclidean error, and their influences."""
    e, b = known.enclosure, known.bounds
    routes = {
        "GNH": (
            arb_solves.solve_gauss_newton,
            solve_bounds.gauss_newton_solve,
            solve_bounds.gauss_newton_influence,
        ),
        "K-FAC": (arb_solves.solve_kfac, solve_bounds.kfac_solve, solve_bounds.kfac_influence),
    }
    for name, (solve, solve_bound, influence_bound) in routes.items():
        solved = _solved(known, partial(solve, problem, e))
        error = _row_norms(distance(computed.solves[name], solved.x))
        yield f"{name} solve", error, solve_bound(problem, b, solved.vectors)
        error = distance(computed.influences[name], solved.influences)
        bound = influence_bound(problem, b, solved.queries, solved.training)
        yield f"{name} influence", error, bound


def _end_to_end(problem: MicroProblem, known: Truth, computed: Answers) -> Iterator[Entry]:
    """EK-FAC from the data on, in proved eigenvectors wherever the spectrum allows."""
    e, b = known.enclosure, known.bounds
    basis: list[tuple[arb_mat, arb_mat]] = []
    true: list[arb_mat] = []
    blocks: list[Turned] = []
    proved = 0
    for layer, (pairs, factors) in enumerate(zip(known.eigenpairs, b.factors, strict=True)):
        chosen: list[arb_mat] = []
        turned: list[ndarray] = []
        for pair, factor, Q in zip(pairs, factors, computed.basis[layer], strict=True):
            turn = None if pair is None else turns(factor, _values(pair))
            if pair is None or turn is None or np.max(turn) > LARGEST_TURN:
                chosen.append(exact_balls(Q))
                turned.append(np.zeros_like(Q))
            else:
                proved += 1
                chosen.append(pair.vectors)
                turned.append(turn)
        basis.append((chosen[0], chosen[1]))
        true.append(arb_solves.corrected_eigenvalues(e, layer, *basis[layer]))
        Q_A, Q_S = midpoints(chosen[0]), midpoints(chosen[1])
        limit = corrected_eigenvalues(b.pseudo, layer, Q_A, Q_S)
        blocks.append(Turned(Q_A, Q_S, turned[0], turned[1], limit))
    if not proved:
        return
    for values, lam, block in zip(computed.eigenvalues, true, blocks, strict=True):
        yield "Λ, end to end", distance(values, lam), rotation_bounds.eigenvalue_error(block)
    solved = _solved(known, partial(arb_solves.solve_eigenbasis, problem, basis, true))
    error = _row_norms(distance(computed.solves["EK-FAC"], solved.x))
    bound = rotation_bounds.solve_error(problem, blocks, solved.vectors)
    yield "EK-FAC solve, end to end", error, bound
    error = distance(computed.influences["EK-FAC"], solved.influences)
    bound = rotation_bounds.influence_error(problem, blocks, solved.queries, solved.training)
    yield "EK-FAC influence, end to end", error, bound


@dataclass(frozen=True)
class _Solved:
    """Proved solutions of the right-hand sides [k, P], and influences [Q, N]; what bounds ask of them."""

    x: arb_mat
    influences: arb_mat
    vectors: Vectors
    queries: Vectors
    training: Vectors


def _solved(known: Truth, solve: Callable[[arb_mat], arb_mat]) -> _Solved:
    e, b = known.enclosure, known.bounds
    right = [exact_balls(known.vectors), e.query_gradients, e.gradients]
    together = solve(stack(right))  # one factorisation for all
    ends = np.cumsum([0, *(matrix.nrows() for matrix in right)]).tolist()
    x, x_q, x_m = (row_slice(together, slice(*ends[i : i + 2])) for i in range(3))
    return _Solved(
        x,
        arb_solves.influences(x_q, e),
        Vectors(without_error(known.vectors), midpoints(x)),
        Vectors(b.query_gradients, midpoints(x_q)),
        Vectors(b.gradients, midpoints(x_m)),
    )


def _values(pairs: Eigenpairs) -> Float[ndarray, " n"]:
    return np.array([float(value.mid()) for value in pairs.values])


def _sines(Q: Float[ndarray, "n n"], true: arb_mat) -> Float[ndarray, " n"]:
    """||q^ - (q^T q^) q|| for every pair of columns: the sine of their angle times ||q^||."""
    given = exact_balls(Q)
    inner = given.transpose() * true
    scaled = true * diagonal([inner[i, i] for i in range(len(Q))])
    return _row_norms(distance(Q.T, scaled.transpose()))


def _row_norms(errors: Float[ndarray, "k P"]) -> Float[ndarray, " k"]:
    return np.linalg.norm(errors, axis=1)

"""How two score matrices relate: which transformation of one gives the other, in a sentence.

A relation is claimed where every entry agrees to rounding (`refimpl.agreement.fits`) and where that
is no accident: each number beyond those that fix the parameters agrees by chance with a probability of
about twice its tolerance, and their product, times the number of orders tried, must stay below 1e-6.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import scipy
from jaxtyping import Float, Shaped
from numpy import ndarray
from torch import Tensor

from refimpl.agreement.arrangements import Arrangement, possible_arrangements
from refimpl.agreement.fits import Fit, Form, Rounding, fit, rounding_of, stored
from refimpl.agreement.intervals import Estimate
from refimpl.agreement.scalar_names import names_for
from refimpl.agreement.sentences import arranged, expression, moved, percent, transformed
from refimpl.agreement.statistics import pearson, spearman

__all__ = ["Kind", "Relation", "Transformation", "relation"]

ACCIDENT = -6.0  # decimal logarithm of the chance of an accident that is accepted
DEVIATIONS = 5.0  # of the correlation of unrelated matrices, from which on they are called alike


class Kind(StrEnum):
    """The relation of the values, in whatever order they are; each value is the words for it."""

    EQUAL = str(Form.EQUAL)
    SIGN = "sign"
    FACTOR = str(Form.FACTOR)
    SHIFT = str(Form.SHIFT)
    FACTOR_PER_QUERY = str(Form.FACTOR_PER_QUERY)
    FACTOR_PER_EXAMPLE = str(Form.FACTOR_PER_EXAMPLE)
    SHIFT_PER_QUERY = str(Form.SHIFT_PER_QUERY)
    RANK = "equal in rank only"
    ALIKE = "alike in rank only"
    UNDECIDED = "undecided"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Transformation:
    """What turns one matrix into the other: factor * arranged + shift.

    Args:
        source: Which matrix it is applied to, "A" or "B".
        arrangement: Transposition, orders, and what is left out.
        factor: [1, 1], [Q, 1] or [1, M].
        shift: [1, 1] or [Q, 1].
    """

    source: str
    arrangement: Arrangement
    factor: Float[ndarray, "..."]
    shift: Float[ndarray, "..."]

    def apply(self, scores: Float[ndarray, "R N"]) -> Float[ndarray, "Q M"]:
        """The other matrix, from the one that `source` names."""
        return self.factor * self.arrangement.apply(scores) + self.shift


@dataclass(frozen=True)
class Relation:
    """How two score matrices relate.

    Args:
        kind: The relation of their values.
        sentence: All of it for a reader, with what the numbers cannot tell.
        expression: What gives the other matrix, in numpy's notation; "" where nothing does.
        transformation: The same as arrays.
        names: Every product of sizes that the factor can be, the simplest first.
        residual: The largest difference after the transformation, in roundoffs of an entry's size.
        tolerance: What `residual` may be at most to be called rounding.
        dtype: Whose roundoff that is.
        spearman: Per query, with an interval over queries; None where the shapes differ.
        pearson: Likewise.
    """

    kind: Kind
    sentence: str
    expression: str
    transformation: Transformation | None
    names: tuple[str, ...]
    residual: float
    tolerance: float
    dtype: str
    spearman: Estimate | None
    pearson: Estimate | None


def relation(
    a: Shaped[ndarray, "..."] | Shaped[Tensor, "..."],
    b: Shaped[ndarray, "..."] | Shaped[Tensor, "..."],
    *,
    sizes: dict[str, int] | None = None,
    terms: int = 1,
) -> Relation:
    """How two score matrices relate, and what would turn one into the other.

    Args:
        a: Scores A, [queries, examples] of any real dtype.
        b: Scores B, of the same shape, transposed, or with queries or examples more or fewer.
        sizes: Known sizes by a letter, >= 1: N examples, T tokens, B batch size, C classes, L layers.
            A factor is named by them.
        terms: How many terms a score is a sum of (the number of tracked parameters, say), where A and B
            were computed separately; 1 allows the rounding of stored copies only.

    Raises:
        ValueError: A matrix has no entry, or NaN, infinite or complex ones; a size or `terms` is below 1.

    Example:
        >>> import numpy as np
        >>> b = np.random.default_rng(0).normal(size=(4, 50))
        >>> relation(-b / 50, b, sizes={"N": 50}).expression
        'A = B * (-1/N)'
    """
    if terms < 1 or any(size < 1 for size in (sizes or {}).values()):
        raise ValueError(f"sizes and terms are at least 1, got {sizes} and {terms}")
    (x, type_a), (y, type_b) = stored(a, "A"), stored(b, "B")
    rounding = rounding_of(type_a, type_b, min(x.size, y.size), terms)
    source = "B"
    if x.size > y.size:  # B is made of A, then
        x, y, source = y, x, "A"
        rounding = rounding_of(type_b, type_a, x.size, terms)
    accident: Fit | None = None
    for arrangement in possible_arrangements(x, y):
        simplest = _simplest(x, arrangement.apply(y), rounding)
        if simplest is None:
            continue
        if _is_no_accident(simplest, arrangement, rounding):
            return _related(x, y, simplest, arrangement, source, sizes or {}, rounding)
        accident = accident or simplest
    if accident is not None:
        return _undecided(accident, x, y, rounding)
    return _unrelated(x, y, rounding)


def _simplest(x: Float[ndarray, "Q M"], y: Float[ndarray, "Q M"], rounding: Rounding) -> Fit | None:
    """The simplest form that holds; one with a parameter for each line needs two lines."""
    forms = [Form.EQUAL, Form.FACTOR, Form.SHIFT]
    forms += [Form.FACTOR_PER_QUERY] * (len(x) > 1)
    forms += [Form.FACTOR_PER_EXAMPLE] * (x.shape[1] > 1)
    forms += [Form.SHIFT_PER_QUERY] * (len(x) > 1)
    fits = (fit(form, x, y, rounding) for form in forms)
    return next((f for f in fits if f is not None), None)


def _is_no_accident(f: Fit, arrangement: Arrangement, rounding: Rounding) -> bool:
    aligned = arrangement.rows is None and arrangement.columns is None
    if f.form is Form.EQUAL and aligned and not arrangement.transpose:
        return True  # what is said is seen
    chance = math.log10(min(2 * rounding.tolerance * rounding.unit, 1.0))
    return f.surplus * chance + arrangement.log10_alternatives() <= ACCIDENT


def _related(
    x: Float[ndarray, "Q M"],
    y: Float[ndarray, "R N"],
    f: Fit,
    arrangement: Arrangement,
    source: str,
    sizes: dict[str, int],
    rounding: Rounding,
) -> Relation:
    transformation = Transformation(source, arrangement, f.factor, f.shift)
    kind = Kind(str(f.form))
    names: tuple[str, ...] = ()
    if f.form is Form.FACTOR:
        names = names_for(f.interval, sizes)
        if f.interval[0] <= -1 <= f.interval[1]:
            kind, names = Kind.SIGN, ("-1",)
    said = [
        f"{transformed(f, names, source)}{arranged(arrangement, source)}, to rounding: "
        f"the largest difference is {f.residual:.2g} roundoffs of {rounding.dtype} "
        f"({rounding.tolerance:.2g} are allowed)."
    ]
    if f.form is Form.FACTOR and not names and sizes:
        known = ", ".join(f"{letter} = {size}" for letter, size in sizes.items())
        said.append(f"No product of small powers of 2 and of {known} is that factor.")
    said += _cannot_tell(x, y, f, arrangement, rounding)
    same = x.shape == y.shape and x.shape[1] > 1
    return Relation(
        kind,
        " ".join(said),
        expression(f, arrangement, names, source),
        transformation,
        names,
        f.residual,
        rounding.tolerance,
        rounding.dtype,
        spearman(x, y) if same else None,
        pearson(x, y) if same else None,
    )


def _cannot_tell(
    x: Float[ndarray, "Q M"],
    y: Float[ndarray, "R N"],
    f: Fit,
    arrangement: Arrangement,
    rounding: Rounding,
) -> list[str]:
    """What else would look the same."""
    said: list[str] = []
    if f.form in (Form.FACTOR, Form.SHIFT):
        for count, line in zip(x.shape, ("query", "example"), strict=True):
            if count == 1:
                said.append(f"With one {line}, a {f.form} for each {line} would look the same.")
    aligned = arrangement.rows is None and arrangement.columns is None
    square = x.shape == y.shape == y.T.shape and len(x) > 1
    if square and aligned and fit(f.form, x, y.T, rounding) is not None:
        said.append("Transposed it fits as well: that cannot be told.")
    turned = y.T if arrangement.transpose else y
    moves = zip((arrangement.rows, arrangement.columns), (turned, turned.T), strict=True)
    if any(order and len(np.unique(lines, axis=0)) < len(lines) for order, lines in moves):
        said.append("Some lines are equal, so that other orders fit as well.")
    return said


def _undecided(
    f: Fit, x: Float[ndarray, "Q M"], y: Float[ndarray, "R N"], rounding: Rounding
) -> Relation:
    constant = np.ptp(x) == 0 or np.ptp(y) == 0
    why = (
        "a matrix is constant, and a factor and a shift look the same"
        if constant
        else "there are too few different numbers to tell it from an accident"
    )
    return Relation(
        Kind.UNDECIDED,
        f"Undecided: {f.form} fits to {rounding.dtype}'s rounding, but {why}.",
        "",
        None,
        (),
        f.residual,
        rounding.tolerance,
        rounding.dtype,
        None,
        None,
    )


def _unrelated(x: Float[ndarray, "Q M"], y: Float[ndarray, "R N"], rounding: Rounding) -> Relation:
    """Nothing turns one into the other: what their ranks say."""

    def result(
        kind: Kind, sentence: str, rho: Estimate | None = None, r: Estimate | None = None
    ) -> Relation:
        residual = float("inf")
        dtype, tolerance = rounding.dtype, rounding.tolerance
        return Relation(kind, sentence, "", None, (), residual, tolerance, dtype, rho, r)

    no = "No factor, sign, shift, transposition, order or part of one gives the other to rounding"
    if x.shape != y.shape:
        return result(Kind.NOTHING, f"{no}; their shapes differ: {x.shape} and {y.shape}.")
    if x.shape[1] < 2:
        return result(Kind.NOTHING, f"{no}; one example has no ranks.")
    rho, r = spearman(x, y), pearson(x, y)
    statistics = f"Spearman {percent(rho)}, Pearson {percent(r)} over queries"
    if (sign := _same_order(x, y)) != 0:
        order = "the same order" if sign > 0 else "the reverse order"
        said = f"{no}, but every query has {order}: {statistics}.{moved(x, y, rounding)}"
        return result(Kind.RANK, said, rho, r)
    if abs(rho.value) >= DEVIATIONS * _chance_deviation(x, y):
        said = f"{no}; {Kind.ALIKE}: {statistics}.{moved(x, y, rounding)}"
        return result(Kind.ALIKE, said, rho, r)
    return result(Kind.NOTHING, f"{no}; nor are they alike beyond chance: {statistics}.", rho, r)


def _chance_deviation(x: Float[ndarray, "Q M"], y: Float[ndarray, "Q M"]) -> float:
    """Standard deviation of the mean Spearman correlation, were y's examples in a random order.

    Two queries' correlations have the covariance rho_x rho_y / (M - 1), of what the queries' ranks
    correlate with each other in x and in y: many queries that are alike count as one.
    """
    similarity = np.ones((len(x), len(x)))
    constant = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
    for values in (x, y):
        ranks = scipy.stats.rankdata(values, axis=1)
        centred = ranks - ranks.mean(axis=1, keepdims=True)
        centred[constant] = 0
        norm = np.linalg.norm(centred, axis=1, keepdims=True)
        unit = centred / np.where(norm == 0, 1.0, norm)
        similarity *= unit @ unit.T
    queries = int((~constant).sum())
    return math.sqrt(similarity.sum() / (x.shape[1] - 1)) / max(queries, 1)


def _same_order(x: Float[ndarray, "Q M"], y: Float[ndarray, "Q M"]) -> int:
    """1 or -1 where all queries have the same or the reverse order, and by no accident; else 0."""
    ranks, others = (scipy.stats.rankdata(v, axis=1) for v in (x, y))
    rankings = np.unique(ranks, axis=0)  # queries that are alike count once
    different = [len(np.unique(row)) for row in rankings]
    accident = -sum(math.lgamma(n + 1) for n in different) / math.log(10)
    if accident > ACCIDENT:
        return 0
    if (ranks == others).all():
        return 1
    return -1 if (ranks == x.shape[1] + 1 - others).all() else 0

"""Every relation that is planted is found and its transformation gives the matrix back; no other is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from refimpl.agreement.arrangements import possible_arrangements
from refimpl.agreement.relations import Kind, relation
from refimpl.agreement.scalar_names import names_for

few = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(3, 6), st.integers(12, 20))
DTYPES = {"float64": np.float64, "float32": np.float32}


def planted(kind, b, g):
    """A matrix in this relation to b."""
    queries, examples = b.shape
    sides = {
        Kind.FACTOR_PER_QUERY: (queries, 1),
        Kind.FACTOR_PER_EXAMPLE: (1, examples),
    }
    return {
        Kind.EQUAL: lambda: b,
        Kind.SIGN: lambda: -b,
        Kind.FACTOR: lambda: 0.37 * b,
        Kind.SHIFT: lambda: b + 0.5,
        Kind.FACTOR_PER_QUERY: lambda: b * g.uniform(0.5, 3, size=sides[kind]),
        Kind.FACTOR_PER_EXAMPLE: lambda: b * g.uniform(0.5, 3, size=sides[kind]),
        Kind.SHIFT_PER_QUERY: lambda: b + g.normal(size=(queries, 1)),
    }[kind]()


ARRANGED = {
    "as it is": lambda b, g: b,
    "transposed": lambda b, g: b.T,
    "queries permuted": lambda b, g: b[g.permutation(len(b))],
    "examples permuted": lambda b, g: b[:, g.permutation(b.shape[1])],
    "both permuted": lambda b, g: b[g.permutation(len(b))][:, g.permutation(b.shape[1])],
    "queries missing": lambda b, g: b[1:],
    "examples missing": lambda b, g: b[:, g.permutation(b.shape[1])[:10]],
    "transposed, examples missing": lambda b, g: b[:, 2:].T,
}


def verify(outcome, a, b):
    """The transformation gives the other matrix back, to the tolerance that it states."""
    transformation = outcome.transformation
    source, target = (b, a) if transformation.source == "B" else (a, b)
    target = target.astype(np.float64)
    again = transformation.apply(source.astype(np.float64))
    unit = np.finfo(outcome.dtype).eps / 2
    # relative to A, or for shifts to |A| + |B|
    size = np.abs(target) + np.abs(transformation.arrangement.apply(source.astype(np.float64)))
    shifted = bool(transformation.shift.any())
    size = size if shifted else np.maximum(np.abs(target), np.abs(again))
    assert outcome.residual <= outcome.tolerance
    assert (np.abs(target - again) <= outcome.tolerance * unit * size).all()


@few
@given(seeds, shapes, st.sampled_from(list(Kind)[:7]), st.sampled_from(list(DTYPES)))
def test_a_planted_relation_is_found_and_gives_the_matrix_back(seed, shape, kind, dtype):
    g = np.random.default_rng(seed)
    b = g.normal(size=shape).astype(DTYPES[dtype])
    a = planted(kind, b, g).astype(DTYPES[dtype])
    outcome = relation(a, b)
    assert (outcome.kind, outcome.dtype) == (kind, dtype)
    verify(outcome, a, b)


@few
@given(seeds, shapes, st.sampled_from(list(ARRANGED)), st.booleans(), st.booleans())
def test_an_arrangement_is_found_with_a_factor_too(seed, shape, arranged, multiple, swapped):
    g = np.random.default_rng(seed)
    b = g.normal(size=shape)
    a = ARRANGED[arranged](b, g) * (-0.37 if multiple else 1.0)
    a, b = (b, a) if swapped else (a, b)
    outcome = relation(a, b)
    assert outcome.kind == (Kind.FACTOR if multiple else Kind.EQUAL)
    verify(outcome, a, b)


@few
@given(seeds, shapes)
def test_queries_and_examples_missing_at_once_are_found_by_their_numbers(seed, shape):
    g = np.random.default_rng(seed)
    b = g.normal(size=shape)
    a = -b[g.permutation(len(b))[:2]][:, g.permutation(b.shape[1])[:7]]
    outcome = relation(a, b)
    assert outcome.kind is Kind.SIGN
    verify(outcome, a, b)


@few
@given(seeds, shapes, st.booleans())
def test_unrelated_matrices_are_told_as_nothing(seed, shape, same):
    g = np.random.default_rng(seed)
    other = shape if same else (shape[0] + 1, shape[1] - 1)
    outcome = relation(g.normal(size=shape), g.normal(size=other))
    assert outcome.kind is Kind.NOTHING
    assert outcome.transformation is None
    assert (outcome.spearman is not None) == same


@few
@given(seeds, shapes, st.sampled_from(list(Kind)[:7]), st.sampled_from(list(DTYPES)))
def test_a_relation_with_noise_of_a_thousandth_is_not_told(seed, shape, kind, dtype):
    g = np.random.default_rng(seed)
    b = g.normal(size=shape).astype(DTYPES[dtype])
    a = planted(kind, b, g) * (1 + 1e-3 * g.normal(size=shape))
    outcome = relation(a.astype(DTYPES[dtype]), b, sizes={"N": 50})
    assert outcome.kind in {Kind.RANK, Kind.ALIKE, Kind.NOTHING}
    assert (outcome.transformation, outcome.names) == (None, ())


@few
@given(seeds, st.sampled_from([1e-2, 1e-3]))
def test_computed_sums_are_a_factor_only_with_terms(seed, factor):
    g = np.random.default_rng(seed)
    q, e = g.normal(size=(5, 1000)), g.normal(size=(1000, 20))
    b = q @ e
    a = np.zeros((5, 20), dtype=np.float32)
    for k in range(1000):  # one term after the other, each rounded
        a += (q[:, [k]] * e[[k]]).astype(np.float32)
    a *= np.float32(factor)
    assert relation(a, b).transformation is None
    assert "roundoffs of float32: copies differ by 4 at most" in relation(a, b).sentence
    outcome = relation(a, b, sizes={"N": round(1 / factor)}, terms=1000)
    assert outcome.kind is Kind.FACTOR
    assert outcome.names[0] == "1/N"
    noisy = a * (1 + 1e-3 * g.normal(size=a.shape)).astype(np.float32)
    assert relation(noisy, b, terms=1000).transformation is None


def test_ranks_alone_are_told_with_their_statistics():
    b = np.random.default_rng(0).normal(size=(20, 100))
    same, reverse = relation(np.exp(b), b), relation(-np.exp(b), b)
    assert (same.kind, same.spearman.value) == (Kind.RANK, 1.0)
    assert "the same order: Spearman 1 [1, 1], Pearson 0.8" in same.sentence
    assert "the reverse order" in reverse.sentence
    alike = relation(b + 0.3 * np.random.default_rng(1).normal(size=b.shape), b)
    assert alike.kind is Kind.ALIKE
    assert alike.spearman.interval.low > 0.9


def test_many_queries_that_are_alike_are_one_accident():
    g = np.random.default_rng(3)
    x, y = g.normal(size=(2, 12))
    y = np.where(g.random(12) < 0.6, x, y)  # correlated 0.7: no accident if it came twenty times
    rows, others = (v + 1e-9 * g.normal(size=(20, 12)) for v in (x, y))
    assert relation(rows, others).spearman.value > 0.5
    assert relation(rows, others).kind is Kind.NOTHING
    rows = g.normal(size=(20, 12))
    assert relation(rows, rows + g.normal(size=(20, 12))).kind is Kind.ALIKE


def test_every_name_that_fits_is_told_and_none_that_only_looks_like_one():
    b = np.random.default_rng(0).normal(size=(4, 30))
    known = {"N": 100, "B": 10, "T": 7, "C": 3}
    assert relation(b / 100, b, sizes=known).names[:2] == ("1/N", "1/B^2")
    assert "1/N or 1/B^2" in relation(b / 100, b, sizes=known).sentence
    assert "-T/(4 C^2)" in relation(b * -7 / 36, b, sizes=known).names
    assert relation(b * 0.010001, b, sizes=known).names == ()
    single = relation((0.37 * b).astype(np.float32), b, sizes=known)
    assert single.expression == "A = B * 0.37"  # no digit more than float32 tells
    # in bfloat16 an interval of a few thousandths holds products of many powers by chance
    assert names_for((0.0637, 0.0645), known) == ()
    assert names_for((-1.0, 1.0), known) == ()


def test_no_more_is_said_than_the_numbers_support():
    g = np.random.default_rng(0)
    row, column, square = g.normal(size=(1, 9)), g.normal(size=(9, 1)), g.normal(size=(4, 4))
    assert "a factor for each query would look the same" in relation(3 * row, row).sentence
    assert "a factor for each example would" in relation(3 * column, column).sentence
    assert "Transposed it fits as well" in relation(square + square.T, square + square.T).sentence
    assert "Transposed" not in relation(square, square).sentence
    constant = relation(np.full((3, 5), 2.0), np.full((3, 5), 4.0))
    assert constant.kind is Kind.UNDECIDED
    assert "constant" in constant.sentence
    single = relation(np.array([[2.0]]), g.normal(size=(3, 4)))
    assert (single.kind, single.transformation) == (Kind.UNDECIDED, None)
    assert "too few different numbers" in relation(column * g.normal(size=(9, 1)), column).sentence
    twice = np.repeat(g.normal(size=(3, 8)), 2, axis=0)
    assert "other orders fit as well" in relation(twice[[4, 5, 0, 1, 2, 3]], twice).sentence


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_zeros_are_no_multiple_and_tiny_and_huge_scores_are_scores(size):
    g = np.random.default_rng(0)
    b = g.normal(size=(4, 12))
    assert relation(np.zeros((4, 12)), b).kind is Kind.NOTHING
    assert relation(np.zeros((4, 12)), np.zeros((4, 12))).kind is Kind.EQUAL
    zeros = b * (g.random((4, 12)) < 0.5)  # a zero fits any factor where the other has it too
    assert relation(3 * zeros, zeros).kind is Kind.FACTOR
    assert relation(3 * zeros + (zeros == 0), zeros).transformation is None
    outcome = relation(size * b[[2, 0, 1, 3]], b)
    assert outcome.kind is Kind.FACTOR
    assert outcome.transformation.arrangement.rows == (2, 0, 1, 3)


def test_the_dtype_that_numbers_were_rounded_to_is_recognised():
    b = np.random.default_rng(0).normal(size=(5, 20))
    short = b.astype(np.float32).astype(np.float64)
    assert (relation(short, b).kind, relation(short, b).dtype) == (Kind.EQUAL, "float32")
    half = torch.from_numpy(b).bfloat16()
    assert relation(half, torch.from_numpy(b)).dtype == "bfloat16"
    whole = np.arange(1.0, 31.0).reshape(3, 10)  # short numbers, which no rounding made
    assert relation(whole * 3, whole).dtype == "float64"
    tiny = (b * 1e-7).astype(np.float16)  # subnormal: their error is absolute
    assert relation(tiny, b * 1e-7).kind is Kind.EQUAL


@pytest.mark.parametrize(
    ("a", "said"),
    [
        (
            np.array([[1.0, np.nan]]),
            "A has 1 NaN or infinite entries, the first in query 0, example 1",
        ),
        (np.array([[np.inf, 1.0]]), "NaN or infinite"),
        (np.zeros(3), "A must be a matrix"),
        (np.zeros((0, 3)), "A must be a matrix"),
        (np.zeros((1, 2), dtype=complex), "real numbers"),
        (np.array([["x"]]), "real numbers"),
    ],
)
def test_what_is_no_score_matrix_is_refused(a, said):
    with pytest.raises(ValueError, match=said):
        relation(a, np.ones((1, 2)))
    with pytest.raises(ValueError, match="at least 1"):
        relation(np.ones((1, 2)), np.ones((1, 2)), terms=0)


def test_many_rows_are_matched_by_one_direction():
    g = np.random.default_rng(0)
    b = g.normal(size=(2500, 3))
    a = b[g.permutation(2500)]
    assert any(np.array_equal(a, found.apply(b)) for found in possible_arrangements(a, b))

"""The perturbations that stand for roundings: of the stated size, and a function of seed and name."""

import numpy as np
import pytest
from evidence import within

from refimpl.oracle.cases import all_cases
from refimpl.oracle.truth.rounding import DELTA, Noise

U = 2.0**-53


@pytest.mark.parametrize("seed", range(5))
def test_a_perturbed_matrix_stays_symmetric_and_moves_by_delta_times_its_norm(seed):
    rows = np.random.default_rng(seed).standard_normal((9, 6))
    matrix = rows.T @ rows
    moved = Noise(seed).symmetric("A", matrix) - matrix
    assert np.array_equal(moved, moved.T)
    # The sum is rounded entry by entry, to u of the matrix: n u / DELTA of what moves it.
    size = np.linalg.norm(moved, 2) / np.linalg.norm(matrix, 2) / DELTA
    within(abs(size - 1), 2 * len(matrix) * U / DELTA)


def test_what_is_perturbed_how_depends_on_seed_and_name_alone():
    array = np.linspace(1, 2, 7)
    noise = Noise(3)
    first = noise.jitter("inputs", array)
    noise.symmetric("A", np.eye(4))
    assert np.array_equal(noise.jitter("inputs", array), first)
    assert np.array_equal(Noise(3).jitter("inputs", array), first)
    assert not np.array_equal(noise.jitter("labels", array), first)
    assert not np.array_equal(Noise(4).jitter("inputs", array), first)


@pytest.mark.parametrize(
    ("id", "exact"), [("losses/binary", True), ("losses/squared-error", False)]
)
def test_labels_of_classes_are_exact_and_values_are_not(id, exact):
    case = all_cases()[id]
    moved = Noise(0).moved(case)
    assert np.array_equal(moved.labels, case.labels) == exact
    assert not np.array_equal(moved.inputs, case.inputs)
    assert all(not np.array_equal(moved.parameters[k], v) for k, v in case.parameters.items())

"""Tables: the same split for the same seed, nothing in both parts, scaled by training data alone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes

import refimpl as ri
from validation.data import Split, diabetes_patients, tumours
from validation.data.tabular import standardised

EPS = torch.finfo(torch.float64).eps
Load = Callable[[int, int, int], Split]
LOADS = pytest.mark.parametrize(
    ("load", "total", "columns"), [(diabetes_patients, 442, 10), (tumours, 569, 30)]
)


@LOADS
def test_training_and_query_examples_are_distinct(load: Load, total: int, columns: int) -> None:
    split = load(300, 100, 0)
    assert split.inputs.shape == (300, columns)
    assert split.query_inputs.shape == (100, columns)
    assert split.targets.shape == (300, 1)
    assert split.query_targets.shape == (100, 1)
    together = torch.cat([split.inputs, split.query_inputs])
    assert len(torch.unique(together, dim=0)) == 400  # neither set holds a row twice
    assert together.dtype == split.targets.dtype == torch.float64
    with pytest.raises(ValueError, match=f"{total} \\+ 1 examples asked for, there are {total}"):
        load(total, 1, 0)


@LOADS
def test_a_seed_fixes_the_split_and_no_global_generator(
    load: Load, total: int, columns: int
) -> None:
    before = np.random.get_state(legacy=False)["state"]["key"].tobytes(), torch.get_rng_state()
    one, same, other = load(50, 10, 0), load(50, 10, 0), load(50, 10, 1)
    assert torch.equal(one.inputs, same.inputs)
    assert torch.equal(one.query_inputs, same.query_inputs)
    assert torch.equal(one.query_targets, same.query_targets)
    assert not torch.equal(one.inputs, other.inputs)
    assert before[0] == np.random.get_state(legacy=False)["state"]["key"].tobytes()
    assert torch.equal(before[1], torch.get_rng_state())


@LOADS
def test_inputs_are_standardised_by_the_training_examples_alone(
    load: Load, total: int, columns: int
) -> None:
    split = load(200, 100, 3)
    # a mean of n numbers of size 1 (the largest below 15) after n roundings, scaled by x / deviation:
    # no column's mean exceeds ten of its deviations
    bound = 200 * 15 * 10 * EPS
    assert float(split.inputs.mean(dim=0).abs().max()) <= bound
    assert float((split.inputs.square().mean(dim=0) - 1).abs().max()) <= bound
    # the queries' own statistics differ by sampling error, 1 / sqrt(100): they were not used
    assert float(split.query_inputs.mean(dim=0).abs().max()) > 1e-2
    # and more or fewer queries change nothing of the training examples
    assert torch.equal(split.inputs, load(200, 0, 3).inputs)


def test_diabetes_targets_are_standardised_and_belong_to_their_patients() -> None:
    split = diabetes_patients(200, 242, 1)
    assert float(split.targets.mean().abs()) <= 200 * 15 * 10 * EPS
    assert float((split.targets.square().mean() - 1).abs()) <= 200 * 15 * 10 * EPS
    targets = torch.cat([split.targets, split.query_targets])[:, 0]
    rows, original = load_diabetes(return_X_y=True, scaled=False)
    order = np.random.RandomState(1).permutation(442)
    assert np.corrcoef(targets, original[order])[0, 1] == pytest.approx(1, abs=442 * EPS)
    inputs = torch.cat([split.inputs, split.query_inputs])
    for column in range(10):
        correlation = np.corrcoef(inputs[:, column], rows[order, column])[0, 1]
        assert correlation == pytest.approx(1, abs=442 * EPS)


def test_breast_cancer_targets_are_the_labels_of_their_tumours() -> None:
    split = tumours(400, 169, 2)
    targets = torch.cat([split.targets, split.query_targets])[:, 0]
    order = np.random.RandomState(2).permutation(569)
    assert targets.tolist() == load_breast_cancer(return_X_y=True)[1][order].tolist()
    # nearest centroids get nine of ten right only if the rows are in the labels' order
    centroids = torch.stack([split.inputs[split.targets[:, 0] == c].mean(dim=0) for c in (0, 1)])
    nearest = torch.cdist(split.query_inputs, centroids).argmin(dim=1)
    assert (nearest == split.query_targets[:, 0]).double().mean() > 0.85


def test_the_losses_take_them() -> None:
    for split, loss in (
        (diabetes_patients(8, 2, 0), ri.losses.SquaredError()),
        (tumours(8, 2, 0), ri.losses.BinaryCrossEntropy()),
    ):
        value = loss.value(torch.zeros(8, 1, dtype=torch.float64), split.targets)
        assert value.shape == (8,)
        assert bool(value.isfinite().all())


def test_a_constant_column_is_refused() -> None:
    with pytest.raises(ValueError, match="constant among the 2 training examples"):
        standardised(torch.tensor([[1.0, 2.0], [1.0, 3.0], [2.0, 4.0]]), 2)

"""Data sets: the same split for the same seed, nothing in both parts."""

import pytest
import torch

from validation.data import digits


def test_training_and_query_images_are_distinct_and_scaled() -> None:
    split = digits(1000, 200, seed=0)
    assert split.inputs.shape == (1000, 64)
    assert split.query_inputs.shape == (200, 64)
    together = torch.cat([split.inputs, split.query_inputs])
    # scikit-learn's 1,797 digits hold no image twice
    assert len(torch.unique(together, dim=0)) == 1200
    assert together.dtype == torch.float64
    assert together.min() == 0
    assert together.max() == 1
    assert set(split.targets.tolist()) == set(range(10))


def test_a_seed_fixes_the_split() -> None:
    one, same, other = digits(50, 10, 0), digits(50, 10, 0), digits(50, 10, 1)
    assert torch.equal(one.inputs, same.inputs)
    assert torch.equal(one.query_targets, same.query_targets)
    assert not torch.equal(one.inputs, other.inputs)


def test_labels_belong_to_their_images() -> None:
    whole = digits(1797, 0, 3)
    part = digits(100, 20, 3)
    assert torch.equal(whole.inputs[:100], part.inputs)
    assert torch.equal(whole.targets[100:120], part.query_targets)
    # a nearest-centroid rule gets nine of ten right only if labels are not shuffled
    centroids = torch.stack([whole.inputs[whole.targets == c].mean(0) for c in range(10)])
    nearest = torch.cdist(whole.inputs, centroids).argmin(dim=1)
    assert (nearest == whole.targets).double().mean() > 0.85


def test_more_images_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1700 \+ 200 images asked for, there are 1797"):
        digits(1700, 200, 0)

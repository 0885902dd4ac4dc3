"""Digits: the same split for the same seed, nothing in both parts; enlarged, the same images."""

import numpy as np
import pytest
import torch

from validation.data import digit_images, upsampled_digit_images


def test_training_and_query_images_are_distinct_and_scaled() -> None:
    split = digit_images(1000, 200, seed=0)
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
    one, same, other = digit_images(50, 10, 0), digit_images(50, 10, 0), digit_images(50, 10, 1)
    assert torch.equal(one.inputs, same.inputs)
    assert torch.equal(one.query_targets, same.query_targets)
    assert not torch.equal(one.inputs, other.inputs)


def test_labels_belong_to_their_images() -> None:
    whole = digit_images(1797, 0, 3)
    part = digit_images(100, 20, 3)
    assert torch.equal(whole.inputs[:100], part.inputs)
    assert torch.equal(whole.targets[100:120], part.query_targets)
    # a nearest-centroid rule gets nine of ten right only if labels are not shuffled
    centroids = torch.stack([whole.inputs[whole.targets == c].mean(0) for c in range(10)])
    nearest = torch.cdist(whole.inputs, centroids).argmin(dim=1)
    assert (nearest == whole.targets).double().mean() > 0.85


def test_more_images_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1700 \+ 200 images asked for, there are 1797"):
        digit_images(1700, 200, 0)


def test_enlarged_digits_are_the_same_split_at_the_size_of_mnist() -> None:
    small, large = digit_images(30, 20, 5), upsampled_digit_images(30, 20, 5)
    assert large.inputs.shape == (30, 784)
    assert large.query_inputs.shape == (20, 784)
    assert torch.equal(small.targets, large.targets)
    assert torch.equal(small.query_targets, large.query_targets)
    assert large.inputs.min() >= 0
    assert large.inputs.max() <= 1


def test_enlarging_interpolates_between_the_centres_of_pixels() -> None:
    small = digit_images(3, 0, 0).inputs[2].reshape(8, 8).numpy()
    large = upsampled_digit_images(3, 0, 0).inputs[2].reshape(28, 28)
    # pixel i of 28 has its centre at (i + 1/2) 8 / 28 - 1/2 of the small image
    at = np.clip((np.arange(28) + 0.5) * 8 / 28 - 0.5, 0, 7)
    rows = np.stack([np.interp(at, np.arange(8), column) for column in small.T], axis=1)
    both = np.stack([np.interp(at, np.arange(8), row) for row in rows])
    # grey values <= 1 from four products each: a few roundings
    assert np.abs(both - large.numpy()).max() <= 1e-15


def test_the_side_of_enlarged_digits_may_be_chosen() -> None:
    same = upsampled_digit_images(4, 2, 1, side=8)
    assert torch.equal(same.inputs, digit_images(4, 2, 1).inputs)

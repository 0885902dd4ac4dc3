"""Standardised columns, with the training examples' means and deviations."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["ordered", "standardised"]


def ordered(
    rows: Float[np.ndarray, "N D"],
    targets: Float[np.ndarray, " N"],
    train: int,
    queries: int,
    seed: int,
) -> tuple[Float[Tensor, "M D"], Float[Tensor, "M 1"]]:
    """The examples in a random order, as many as are used: training first, then queries.

    Args:
        rows: Inputs.
        targets: Targets.
        train: Number of training examples.
        queries: Number of query examples.
        seed: Of the permutation.

    Raises:
        ValueError: More examples are asked for than there are.
    """
    if train + queries > len(rows):
        raise ValueError(f"{train} + {queries} examples asked for, there are {len(rows)}")
    order = np.random.RandomState(seed).permutation(len(rows))[: train + queries]
    return torch.from_numpy(rows[order]), torch.from_numpy(targets[order])[:, None]


def standardised(values: Float[Tensor, "N D"], train: int) -> Float[Tensor, "N D"]:
    """Every column less its mean and over its standard deviation among the training examples.

    Args:
        values: Training examples first.
        train: How many those are.

    Raises:
        ValueError: A column is constant among the training examples.
    """
    mean, deviation = values[:train].mean(dim=0), values[:train].std(dim=0, correction=0)
    if not bool((deviation > 0).all()):
        raise ValueError(f"a column is constant among the {train} training examples: take more")
    return (values - mean) / deviation

"""Faults of normalisation: sums for means, and means over the wrong thing."""

from typing import Any

import torch

from refimpl.oracle.faults.fault import Fault
from refimpl.oracle.faults.tools import arrays, conv_names, means_of_batches, scaled

__all__ = ["FAULTS"]

BUG = "normalisation"


def _conv_s_over_places(right: Any, me: Any, case: Any, seed: int) -> Any:
    found = dict(right(case, seed))
    run = me.forward(case, me.module(case), *me.training(case))
    for name in conv_names(me, case):
        if name in found:
            A, S = found[name]
            found[name] = A, S / run.a[name].shape[1]
    return found


def _batch_mean_gradients(right: Any, me: Any, case: Any, x: Any, y: Any) -> Any:
    return arrays(right(case, x, y), lambda g: g / len(x))


FAULTS = (
    Fault(
        "s-summed-over-examples", BUG, "factors",
        "S is the sum over examples, not their mean",
        "s_mean", lambda right, me, S, N: S, "aai-institute/pyDVL#477",
    ),
    Fault(
        "a-summed-over-rows", BUG, "factors",
        "A is the sum over examples and positions, not their mean",
        "a_mean", lambda right, me, A, count: A,
    ),
    Fault(
        "a-over-n-minus-1", BUG, "factors",
        "A is divided by one less than the number of rows, as a sample covariance is",
        "a_mean", lambda right, me, A, count: right(A, count - 1),
    ),
    Fault(
        "s-over-n-minus-1", BUG, "factors",
        "S is divided by N - 1, as a sample covariance is",
        "s_mean", lambda right, me, S, N: S / max(N - 1, 1),
    ),
    Fault(
        "both-factors-over-positions", BUG, "factors",
        "S is divided by the number of positions as A is, so that S (x) A is too small by it",
        "s_sum", lambda right, me, g: right(g) / g.shape[2], "tensorflow/kfac#41",
    ),
    Fault(
        "conv-s-over-places", BUG, "factors",
        "S of a convolution is divided by its number of places once too often",
        "factors", _conv_s_over_places, "tensorflow/kfac#41",
    ),
    Fault(
        "a-over-examples", BUG, "factors",
        "A is divided by the number of examples, not by that of rows",
        "a_count", lambda right, me, counted: (counted.sum(dim=1) > 0).sum().to(counted),
    ),
    Fault(
        "s-of-mean-loss", BUG, "factors",
        "pseudo-gradients are those of the batch's mean loss, so that S and Lambda lack B^2",
        "pseudo_gradients", lambda right, me, case, f, *args: right(case, f, *args) / len(f),
        "wiseodd/natural-gradients#2",
    ),
    Fault(
        "factors-mean-of-batch-means", BUG, "factors",
        "the factors are means of every batch's own factors, though the last batch is shorter",
        "factors", means_of_batches,
    ),
    Fault(
        "lambda-mean-of-batch-means", BUG, "eigenvalues",
        "Lambda is the mean of every batch's own Lambda, though the last batch is shorter",
        "eigenvalues", means_of_batches,
    ),
    Fault(
        "gauss-newton-mean-of-shard-means", BUG, "gauss_newton",
        "the Gauss-Newton Hessian is the mean of unequal shards' own means",
        "gauss_newton", means_of_batches, "EleutherAI/bergson test_uneven_sharding.py",
    ),
    Fault(
        "lambda-summed-over-examples", BUG, "eigenvalues",
        "Lambda is the sum over examples, not their mean",
        "lambda_mean", lambda right, me, total, N: total, "EleutherAI/bergson#375",
    ),
    Fault(
        "lambda-over-n-minus-1", BUG, "eigenvalues",
        "Lambda is divided by N - 1",
        "lambda_mean", lambda right, me, total, N: total / max(N - 1, 1),
    ),
    Fault(
        "lambda-over-n-squared", BUG, "eigenvalues",
        "Lambda is divided by N twice",
        "lambda_mean", lambda right, me, total, N: total / N**2, "pomonam/kronfluence#36",
    ),
    Fault(
        "lambda-over-samples-twice", BUG, "eigenvalues",
        "Lambda is divided by the number of sampled labels once too often",
        "eigenvalues",
        lambda right, me, case, *args: arrays(
            right(case, *args), lambda m: m / case.conventions.samples
        ),
        conventions={"fisher": "sampled", "samples": 3},
    ),
    Fault(
        "gradients-of-mean-loss", BUG, "gradients",
        "per-example gradients are taken from a batch's mean loss, so that they lack a factor B",
        "example_gradients", _batch_mean_gradients,
        "TRAIS-Lab/dattri#219",
    ),
    Fault(
        "token-mean-for-token-sum", BUG, "gradients",
        "the loss of an example is the mean over its tokens, not their sum",
        "token_weight",
        lambda right, me, case, y, T: right(case, y, T)
        / me.counted(case, y, T).sum(dim=1, keepdim=True).clamp(min=1),
    ),
    Fault(
        "output-mean-for-output-sum", BUG, "gradients",
        "squared and binary losses are means over outputs, as torch's default reduction has them",
        "token_losses",
        lambda right, me, case, f, y: right(case, f, y)
        / (1 if case.loss.kind == "cross_entropy" else f.shape[2]),
        "f-dangel/curvlinops#82",
    ),
    Fault(
        "gauss-newton-summed", BUG, "gauss_newton",
        "the Gauss-Newton Hessian is the sum over examples, not their mean",
        "gauss_newton",
        lambda right, me, case, V: case.num_examples * right(case, V), "aai-institute/pyDVL#477",
    ),
    Fault(
        "gauss-newton-over-tokens", BUG, "gauss_newton",
        "the Gauss-Newton Hessian is divided by the number of tokens, not by that of examples",
        "gauss_newton",
        lambda right, me, case, V: right(case, V)
        * case.num_examples / max(int(case.mask.sum()), 1),
    ),
    Fault(
        "scores-over-n", BUG, "scores",
        "scores are divided by the number of training examples",
        "scored", lambda right, me, case, q, g: right(case, q, g) / len(g), "pomonam/kronfluence#36",
    ),
    Fault(
        "scores-times-n", BUG, "scores",
        "scores lack the division by N that is declared",
        "scored", lambda right, me, case, q, g: right(case, q, g) * len(g),
        conventions={"score_scale": "1/N"},
    ),
    Fault(
        "response-divergence-summed", BUG, "response",
        "the divergence of the proximal objective is summed over examples, not averaged",
        "divergence",
        lambda right, me, case, *args: case.num_examples * right(case, *args),
    ),
    Fault(
        "response-epsilon-over-n", BUG, "response",
        "epsilon is divided by N once more",
        "response",
        lambda right, me, case, m, epsilon: right(case, m, epsilon / case.num_examples),
    ),
    Fault(
        "reduce-sums-inputs", BUG, "factors",
        "reduce: inputs are summed over positions, not averaged",
        "shared",
        lambda right, me, case, a, counted, g: (
            torch.where(counted[..., None] > 0, a, 0.0).sum(dim=1, keepdim=True),
            *right(case, a, counted, g)[1:],
        ),
        conventions={"weight_sharing": "reduce"},
    ),
    Fault(
        "reduce-averages-gradients", BUG, "factors",
        "reduce: gradients are averaged over positions, not summed",
        "shared",
        lambda right, me, case, a, counted, g: (
            *right(case, a, counted, g)[:2], g.mean(dim=2, keepdim=True)
        ),
        conventions={"weight_sharing": "reduce"},
    ),
    Fault(
        "s-twice-too-large", BUG, "factors",
        "S is twice too large, as for a loss without its half",
        "s_mean", scaled(2.0), "f-dangel/curvlinops#82",
    ),
)  # fmt: skip

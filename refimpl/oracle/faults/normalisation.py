"""Faults of normalisation: sums for means, and means over the wrong thing."""

from typing import Any

import torch

from refimpl.oracle.faults.fault import mistake
from refimpl.oracle.faults.tools import arrays, convolutions, means_of_batches, scaled


@mistake("factors", edits="s_mean", thread="aai-institute/pyDVL#477")
def s_summed_over_examples(right: Any, me: Any, S: Any, N: Any) -> Any:
    """S is the sum over examples, not their mean"""
    return S


@mistake("factors", edits="a_mean")
def a_summed_over_rows(right: Any, me: Any, A: Any, count: Any) -> Any:
    """A is the sum over examples and positions, not their mean"""
    return A


@mistake("factors", edits="a_mean")
def a_over_n_minus_1(right: Any, me: Any, A: Any, count: Any) -> Any:
    """A is divided by one less than the number of rows, as a sample covariance is"""
    return right(A, count - 1)


@mistake("factors", edits="s_mean")
def s_over_n_minus_1(right: Any, me: Any, S: Any, N: Any) -> Any:
    """S is divided by N - 1, as a sample covariance is"""
    return S / max(N - 1, 1)


@mistake("factors", edits="s_sum", thread="tensorflow/kfac#41")
def both_factors_over_positions(right: Any, me: Any, g: Any) -> Any:
    """S is divided by the number of positions as A is, so that S (x) A is too small by it"""
    return right(g) / g.shape[2]


@mistake("factors", edits="factors", thread="tensorflow/kfac#41")
def conv_s_over_places(right: Any, me: Any, case: Any, seed: int) -> Any:
    """S of a convolution is divided by its number of places once too often"""
    answer = dict(right(case, seed))
    run = me.forward(case, me.module(case), *me.training(case))
    for name in convolutions(me, case):
        if name in answer:
            A, S = answer[name]
            answer[name] = A, S / run.a[name].shape[1]
    return answer


@mistake("factors", edits="a_count")
def a_over_examples(right: Any, me: Any, counted: Any) -> Any:
    """A is divided by the number of examples, not by that of rows"""
    return (counted.sum(dim=1) > 0).sum().to(counted)


@mistake("factors", edits="pseudo_gradients", thread="wiseodd/natural-gradients#2")
def s_of_mean_loss(right: Any, me: Any, case: Any, f: Any, *args: Any) -> Any:
    """pseudo-gradients are those of the batch's mean loss, so that S and Lambda lack B^2"""
    return right(case, f, *args) / len(f)


@mistake("factors", edits="factors")
def factors_mean_of_batch_means(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the factors are means of every batch's own factors, though the last batch is shorter"""
    return means_of_batches(right, case, *args)


@mistake("eigenvalues", edits="eigenvalues")
def lambda_mean_of_batch_means(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """Lambda is the mean of every batch's own Lambda, though the last batch is shorter"""
    return means_of_batches(right, case, *args)


@mistake("gauss_newton", edits="gauss_newton", thread="EleutherAI/bergson test_uneven_sharding.py")
def gauss_newton_mean_of_shard_means(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the Gauss-Newton Hessian is the mean of unequal shards' own means"""
    return means_of_batches(right, case, *args)


@mistake("eigenvalues", edits="lambda_mean", thread="EleutherAI/bergson#375")
def lambda_summed_over_examples(right: Any, me: Any, total: Any, N: Any) -> Any:
    """Lambda is the sum over examples, not their mean"""
    return total


@mistake("eigenvalues", edits="lambda_mean")
def lambda_over_n_minus_1(right: Any, me: Any, total: Any, N: Any) -> Any:
    """Lambda is divided by N - 1"""
    return total / max(N - 1, 1)


@mistake("eigenvalues", edits="lambda_mean", thread="pomonam/kronfluence#36")
def lambda_over_n_squared(right: Any, me: Any, total: Any, N: Any) -> Any:
    """Lambda is divided by N twice"""
    return total / N**2


@mistake("eigenvalues", edits="eigenvalues", conventions={"fisher": "sampled", "samples": 3})
def lambda_over_samples_twice(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """Lambda is divided by the number of sampled labels once too often"""
    return arrays(right(case, *args), lambda m: m / case.conventions.samples)


@mistake("gradients", edits="example_gradients", thread="TRAIS-Lab/dattri#219")
def gradients_of_mean_loss(right: Any, me: Any, case: Any, x: Any, y: Any) -> Any:
    """per-example gradients are taken from a batch's mean loss, so that they lack a factor B"""
    return arrays(right(case, x, y), lambda g: g / len(x))


@mistake("gradients", edits="token_weight")
def token_mean_for_token_sum(right: Any, me: Any, case: Any, y: Any, T: Any) -> Any:
    """the loss of an example is the mean over its tokens, not their sum"""
    return right(case, y, T) / me.counted(case, y, T).sum(dim=1, keepdim=True).clamp(min=1)


@mistake("gradients", edits="token_losses", thread="f-dangel/curvlinops#82")
def output_mean_for_output_sum(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    """squared and binary losses are means over outputs, as torch's default reduction has them"""
    return right(case, f, y) / (1 if case.loss.kind == "cross_entropy" else f.shape[2])


@mistake("gauss_newton", edits="gauss_newton", thread="aai-institute/pyDVL#477")
def gauss_newton_summed(right: Any, me: Any, case: Any, V: Any) -> Any:
    """the Gauss-Newton Hessian is the sum over examples, not their mean"""
    return case.num_examples * right(case, V)


@mistake("gauss_newton", edits="gauss_newton")
def gauss_newton_over_tokens(right: Any, me: Any, case: Any, V: Any) -> Any:
    """the Gauss-Newton Hessian is divided by the number of tokens, not by that of examples"""
    return right(case, V) * case.num_examples / max(int(case.mask.sum()), 1)


@mistake("scores", edits="scored", thread="pomonam/kronfluence#36")
def scores_over_n(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    """scores are divided by the number of training examples"""
    return right(case, q, g) / len(g)


@mistake("scores", edits="scored", conventions={"score_scale": "1/N"})
def scores_times_n(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    """scores lack the division by N that is declared"""
    return right(case, q, g) * len(g)


@mistake("response", edits="divergence")
def response_divergence_summed(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the divergence of the proximal objective is summed over examples, not averaged"""
    return case.num_examples * right(case, *args)


@mistake("response", edits="response")
def response_epsilon_over_n(right: Any, me: Any, case: Any, m: Any, epsilon: Any) -> Any:
    """epsilon is divided by N once more"""
    return right(case, m, epsilon / case.num_examples)


@mistake("factors", edits="shared", conventions={"weight_sharing": "reduce"})
def reduce_sums_inputs(right: Any, me: Any, case: Any, a: Any, counted: Any, g: Any) -> Any:
    """reduce: inputs are summed over positions, not averaged"""
    return (
        torch.where(counted[..., None] > 0, a, 0.0).sum(dim=1, keepdim=True),
        *right(case, a, counted, g)[1:],
    )


@mistake("factors", edits="shared", conventions={"weight_sharing": "reduce"})
def reduce_averages_gradients(right: Any, me: Any, case: Any, a: Any, counted: Any, g: Any) -> Any:
    """reduce: gradients are averaged over positions, not summed"""
    return (*right(case, a, counted, g)[:2], g.mean(dim=2, keepdim=True))


@mistake("factors", edits="s_mean", thread="f-dangel/curvlinops#82")
def s_twice_too_large(right: Any, me: Any, *args: Any) -> Any:
    """S is twice too large, as for a loss without its half"""
    return scaled(right(*args), 2.0)

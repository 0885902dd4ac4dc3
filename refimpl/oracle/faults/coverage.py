"""Faults of coverage: examples, batches, layers and blocks that are left out or come twice."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import mistake
from refimpl.oracle.faults.tools import convolutions, part


def _whole_batches(right: Any, me: Any, case: Any, *args: Any) -> Any:
    whole = case.num_examples // case.batch_size * case.batch_size
    return right(part(case, slice(0, whole)) if whole else case, *args)


def _first_batch(right: Any, me: Any, case: Any, *args: Any) -> Any:
    return right(part(case, slice(0, case.batch_size)), *args)


def _padded_by_sampler(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """The data set is filled up to whole batches with its first examples."""
    n, b = case.num_examples, case.batch_size
    return right(part(case, np.arange(-(-n // b) * b) % n), *args)


def _with_columns(right: Any, me: Any, case: Any, q: Any, g: Any, *, change: Any) -> Any:
    """The scores with some columns changed."""
    scores = right(case, q, g).copy()
    change(case, scores)
    return scores


def _last_batch_zero(case: Any, scores: Any) -> None:
    left = case.num_examples % case.batch_size or 1
    scores[:, -left:] = 0.0


def _one_nan(case: Any, scores: Any) -> None:
    scores[0, -1] = np.nan


def _first_query_only(case: Any, scores: Any) -> None:
    scores[1:] = scores[0]


def _gradients_of(right: Any, me: Any, case: Any, x: Any, y: Any, *, keep: Any) -> Any:
    """Gradients of some layers; those of the others are zero."""
    answer = right(case, x, y)
    layers = keep(me, case, list(answer))
    return {n: g if n in layers else torch.zeros_like(g) for n, g in answer.items()}


def _scores_of(right: Any, me: Any, case: Any, seed: int, *, keep: Any) -> Any:
    """Scores to which some layers alone add."""
    q, g = me.query_gradients(case), me.training_gradients(case)
    layers = keep(me, case, list(q))
    q = {n: m if n in layers else torch.zeros_like(m) for n, m in q.items()}
    solved = me.solve(me.state(case, seed), me.flat(case, q).numpy(), case.damping)
    return me.scored(case, solved, me.flat(case, g).numpy())


def _ones(me: Any, case: Any) -> Any:
    return {n: m[None] for n, m in me.current(case, me.module(case)).items()}


def _last_layer(me: Any, case: Any, names: list[str]) -> list[str]:
    return names[-1:]


def _all_but_last(me: Any, case: Any, names: list[str]) -> list[str]:
    return names[:-1] or names


def _no_convs(me: Any, case: Any, names: list[str]) -> list[str]:
    return [n for n in names if n.removesuffix(".bias") not in convolutions(me, case)]


@mistake("factors", edits="factors")
def factors_drop_last_batch(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the last, short batch is missing from the factors"""
    return _whole_batches(right, me, case, *args)


@mistake("factors", edits="factors")
def factors_of_first_batch(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the factors are those of the first batch"""
    return _first_batch(right, me, case, *args)


@mistake("factors", edits="factors", thread="pytorch DistributedSampler")
def factors_of_padded_sampler(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """a distributed sampler repeats the first examples to fill the last batch"""
    return _padded_by_sampler(right, me, case, *args)


@mistake("factors", edits="factors")
def factors_of_every_second(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the factors see every second example: one of two shards"""
    return right(part(case, slice(0, None, 2)), *args)


@mistake("factors", edits="factors")
def factors_without_last_example(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the last example is missing from the factors"""
    return right(part(case, slice(0, max(case.num_examples - 1, 1))), *args)


@mistake("eigenvalues", edits="eigenvalues")
def lambda_drops_last_batch(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the last, short batch is missing from Lambda"""
    return _whole_batches(right, me, case, *args)


@mistake("eigenvalues", edits="eigenvalues")
def lambda_of_first_batch(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """Lambda is that of the first batch"""
    return _first_batch(right, me, case, *args)


@mistake("eigenvalues", edits="eigenvalues", thread="pytorch DistributedSampler")
def lambda_of_padded_sampler(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """a distributed sampler repeats examples when Lambda is summed"""
    return _padded_by_sampler(right, me, case, *args)


@mistake("gauss_newton", edits="gauss_newton")
def gauss_newton_drops_last_batch(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the last, short batch is missing from the Gauss-Newton Hessian"""
    return _whole_batches(right, me, case, *args)


@mistake("gauss_newton", edits="gauss_newton")
def gauss_newton_block_diagonal(right: Any, me: Any, case: Any, V: Any) -> Any:
    """only the blocks on the Gauss-Newton Hessian's diagonal are used"""
    start, answer = 0, np.zeros_like(V)
    sizes = [m[0].numel() for m in me.in_layers(case, _ones(me, case)).values()]
    for size in sizes:
        only = np.zeros_like(V)
        only[:, start : start + size] = V[:, start : start + size]
        answer[:, start : start + size] = right(case, only)[:, start : start + size]
        start += size
    return answer


@mistake("gradients", edits="example_gradients")
def gradients_of_last_layer_only(right: Any, me: Any, case: Any, x: Any, y: Any) -> Any:
    """only the last layer has gradients"""
    return _gradients_of(right, me, case, x, y, keep=_last_layer)


@mistake("factors", edits="factors")
def layer_silently_omitted(right: Any, me: Any, *args: Any) -> Any:
    """a layer is missing from the answer"""
    answer = right(*args)
    return dict(list(answer.items())[:-1])


@mistake("scores", edits="scores")
def scores_of_last_layer_only(right: Any, me: Any, case: Any, seed: int) -> Any:
    """only the last layer counts in the scores"""
    return _scores_of(right, me, case, seed, keep=_last_layer)


@mistake("scores", edits="scores")
def scores_without_last_layer(right: Any, me: Any, case: Any, seed: int) -> Any:
    """the last layer is left out of the scores"""
    return _scores_of(right, me, case, seed, keep=_all_but_last)


@mistake("scores", edits="scores")
def scores_without_convolutions(right: Any, me: Any, case: Any, seed: int) -> Any:
    """convolutions are left out of the scores without a word"""
    return _scores_of(right, me, case, seed, keep=_no_convs)


@mistake("scores", edits="scored")
def last_batch_never_scored(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    """the last, short batch is never scored"""
    return _with_columns(right, me, case, q, g, change=_last_batch_zero)


@mistake("scores", edits="scored", thread="TRAIS-Lab/dattri#184")
def one_nan_in_scores(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    """one score is NaN"""
    return _with_columns(right, me, case, q, g, change=_one_nan)


@mistake("scores", edits="scored")
def every_query_as_the_first(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    """every query has the first one's scores"""
    return _with_columns(right, me, case, q, g, change=_first_query_only)


@mistake("response", edits="response")
def response_to_next_example(right: Any, me: Any, case: Any, m: Any, epsilon: Any) -> Any:
    """the response is that to the next example"""
    return right(case, (m + 1) % case.num_examples, epsilon)


@mistake("response", edits="tracked")
def response_of_last_layer_only(right: Any, me: Any, case: Any, model: Any) -> Any:
    """only the last layer is retrained"""
    return right(case, model)[-1:]


@mistake("response", edits="divergence")
def response_without_last_batch(right: Any, me: Any, case: Any, f: Any, *args: Any) -> Any:
    """the last, short batch is missing from the objective"""
    return right(case, f, *args) * (
        torch.arange(len(f)) < len(f) // case.batch_size * case.batch_size
    )

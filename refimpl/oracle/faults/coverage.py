"""Faults of coverage: examples, batches, layers and blocks that are left out or come twice."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import Fault
from refimpl.oracle.faults.tools import conv_names, part

__all__ = ["FAULTS"]

BUG = "coverage"


def _whole_batches(right: Any, me: Any, case: Any, *args: Any) -> Any:
    whole = case.num_examples // case.batch_size * case.batch_size
    return right(part(case, slice(0, whole)) if whole else case, *args)


def _first_batch(right: Any, me: Any, case: Any, *args: Any) -> Any:
    return right(part(case, slice(0, case.batch_size)), *args)


def _padded_by_sampler(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """The data set is filled up to whole batches with its first examples."""
    n, b = case.num_examples, case.batch_size
    return right(part(case, np.arange(-(-n // b) * b) % n), *args)


def _every_second(right: Any, me: Any, case: Any, *args: Any) -> Any:
    return right(part(case, slice(0, None, 2)), *args)


def _without_last(right: Any, me: Any, case: Any, *args: Any) -> Any:
    return right(part(case, slice(0, max(case.num_examples - 1, 1))), *args)


def _columns(change: Any) -> Any:
    """An edit of `scored`: changes some columns of the scores."""

    def edit(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
        scores = right(case, q, g).copy()
        change(case, scores)
        return scores

    return edit


def _last_batch_zero(case: Any, scores: Any) -> None:
    left = case.num_examples % case.batch_size or 1
    scores[:, -left:] = 0.0


def _one_nan(case: Any, scores: Any) -> None:
    scores[0, -1] = np.nan


def _first_query_only(case: Any, scores: Any) -> None:
    scores[1:] = scores[0]


def _layers(keep: Any) -> Any:
    """An edit of `example_gradients`: other layers' gradients are zero."""

    def edit(right: Any, me: Any, case: Any, x: Any, y: Any) -> Any:
        found = right(case, x, y)
        kept = keep(me, case, list(found))
        return {n: g if n in kept else torch.zeros_like(g) for n, g in found.items()}

    return edit


def _scores_of(keep: Any) -> Any:
    """An edit of `flat` as scores use it: layers that are not kept add nothing."""

    def edit(right: Any, me: Any, case: Any, seed: int) -> Any:
        q, g = me.query_gradients(case), me.training_gradients(case)
        kept = keep(me, case, list(q))
        q = {n: m if n in kept else torch.zeros_like(m) for n, m in q.items()}
        solved = me.solve(me.state(case, seed), me.flat(case, q).numpy(), case.damping)
        return me.scored(case, solved, me.flat(case, g).numpy())

    return edit


def _block_diagonal(right: Any, me: Any, case: Any, V: Any) -> Any:
    start, found = 0, np.zeros_like(V)
    sizes = [m[0].numel() for m in me.in_layers(case, _ones(me, case)).values()]
    for size in sizes:
        only = np.zeros_like(V)
        only[:, start : start + size] = V[:, start : start + size]
        found[:, start : start + size] = right(case, only)[:, start : start + size]
        start += size
    return found


def _ones(me: Any, case: Any) -> Any:
    return {n: m[None] for n, m in me.current(case, me.module(case)).items()}


def _last_layer(me: Any, case: Any, names: list[str]) -> list[str]:
    return names[-1:]


def _all_but_last(me: Any, case: Any, names: list[str]) -> list[str]:
    return names[:-1] or names


def _no_convs(me: Any, case: Any, names: list[str]) -> list[str]:
    return [n for n in names if n.removesuffix(".bias") not in conv_names(me, case)]


def _omitted(right: Any, me: Any, *args: Any) -> Any:
    found = right(*args)
    return dict(list(found.items())[:-1])


FAULTS = (
    Fault(
        "factors-drop-last-batch", BUG, "factors",
        "the last, short batch is missing from the factors",
        "factors", _whole_batches,
    ),
    Fault(
        "factors-of-first-batch", BUG, "factors",
        "the factors are those of the first batch",
        "factors", _first_batch,
    ),
    Fault(
        "factors-of-padded-sampler", BUG, "factors",
        "a distributed sampler repeats the first examples to fill the last batch",
        "factors", _padded_by_sampler, "pytorch DistributedSampler",
    ),
    Fault(
        "factors-of-every-second", BUG, "factors",
        "the factors see every second example: one of two shards",
        "factors", _every_second,
    ),
    Fault(
        "factors-without-last-example", BUG, "factors",
        "the last example is missing from the factors",
        "factors", _without_last,
    ),
    Fault(
        "lambda-drops-last-batch", BUG, "eigenvalues",
        "the last, short batch is missing from Lambda",
        "eigenvalues", _whole_batches,
    ),
    Fault(
        "lambda-of-first-batch", BUG, "eigenvalues",
        "Lambda is that of the first batch",
        "eigenvalues", _first_batch,
    ),
    Fault(
        "lambda-of-padded-sampler", BUG, "eigenvalues",
        "a distributed sampler repeats examples when Lambda is summed",
        "eigenvalues", _padded_by_sampler, "pytorch DistributedSampler",
    ),
    Fault(
        "gauss-newton-drops-last-batch", BUG, "gauss_newton",
        "the last, short batch is missing from the Gauss-Newton Hessian",
        "gauss_newton", _whole_batches,
    ),
    Fault(
        "gauss-newton-block-diagonal", BUG, "gauss_newton",
        "only the blocks on the Gauss-Newton Hessian's diagonal are used",
        "gauss_newton", _block_diagonal,
    ),
    Fault(
        "gradients-of-last-layer-only", BUG, "gradients",
        "only the last layer has gradients",
        "example_gradients", _layers(_last_layer),
    ),
    Fault(
        "layer-silently-omitted", BUG, "factors",
        "a layer is missing from the answer",
        "factors", _omitted,
    ),
    Fault(
        "scores-of-last-layer-only", BUG, "scores",
        "only the last layer counts in the scores",
        "scores", _scores_of(_last_layer),
    ),
    Fault(
        "scores-without-last-layer", BUG, "scores",
        "the last layer is left out of the scores",
        "scores", _scores_of(_all_but_last),
    ),
    Fault(
        "scores-without-convolutions", BUG, "scores",
        "convolutions are left out of the scores without a word",
        "scores", _scores_of(_no_convs),
    ),
    Fault(
        "last-batch-never-scored", BUG, "scores",
        "the last, short batch is never scored",
        "scored", _columns(_last_batch_zero),
    ),
    Fault(
        "one-nan-in-scores", BUG, "scores",
        "one score is NaN",
        "scored", _columns(_one_nan), "TRAIS-Lab/dattri#184",
    ),
    Fault(
        "every-query-as-the-first", BUG, "scores",
        "every query has the first one's scores",
        "scored", _columns(_first_query_only),
    ),
    Fault(
        "response-to-next-example", BUG, "response",
        "the response is that to the next example",
        "response",
        lambda right, me, case, m, epsilon: right(case, (m + 1) % case.num_examples, epsilon),
    ),
    Fault(
        "response-of-last-layer-only", BUG, "response",
        "only the last layer is retrained",
        "tracked", lambda right, me, case, model: right(case, model)[-1:],
    ),
    Fault(
        "response-without-last-batch", BUG, "response",
        "the last, short batch is missing from the objective",
        "divergence",
        lambda right, me, case, f, *args: right(case, f, *args)
        * (torch.arange(len(f)) < len(f) // case.batch_size * case.batch_size),
    ),
)  # fmt: skip

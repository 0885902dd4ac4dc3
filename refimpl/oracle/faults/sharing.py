"""Faults of weight sharing: positions, repeated calls, tied parameters, convolutions."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from refimpl.oracle.faults.fault import Fault
from refimpl.oracle.faults.tools import conv_names

__all__ = ["FAULTS"]

BUG = "sharing"
REDUCE = {"weight_sharing": "reduce"}


def _other_sharing(right: Any, me: Any, case: Any, *args: Any) -> Any:
    now = case.conventions.weight_sharing
    other = "expand" if now == "reduce" else "reduce"
    return right(case.but(conventions=case.conventions.but(weight_sharing=other)), *args)


def _last_call(right: Any, me: Any, case: Any, model: Any, x: Any, y: Any) -> Any:
    run = right(case, model, x, y)
    last = {id(module): i for i, (_, module, _) in enumerate(run.calls)}
    kept = [call for i, call in enumerate(run.calls) if last[id(call[1])] == i]
    rows: dict[str, int] = {}
    for names, module, s in kept:
        for name in names:
            rows[name] = rows.get(name, 0) + me.output_rows(module, s[None]).shape[3]
    run.calls = kept
    run.a = {n: a[:, -rows[n] :] for n, a in run.a.items()}
    run.counted = {n: c[:, -rows[n] :] for n, c in run.counted.items()}
    return run


def _owner_only(right: Any, me: Any, case: Any, model: Any) -> Any:
    seen: set[str] = set()
    return [(m, layer) for m, layer in right(case, model) if not (layer in seen or seen.add(layer))]


def _times_calls(right: Any, me: Any, case: Any, x: Any, y: Any) -> Any:
    run = me.forward(case, me.module(case), x, y)
    calls: dict[str, int] = {}
    for names, _, _ in run.calls:
        for name in names:
            calls[name] = calls.get(name, 0) + 1
    return {n: g * calls.get(n, 1) for n, g in right(case, x, y).items()}


def _a_of_one_call(right: Any, me: Any, case: Any, seed: int) -> Any:
    """A is summed over all calls of a module, but divided by the rows of one."""
    run = me.forward(case, me.module(case), *me.training(case))
    calls: dict[str, int] = {}
    for names, _, _ in run.calls:
        for name in names:
            calls[name] = calls.get(name, 0) + 1
    return {n: (A * calls.get(n, 1), S) for n, (A, S) in right(case, seed).items()}


def _token_by_token(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    model, total = me.module(case), {}
    for place, x, y in me.batches(case):
        run = me.forward(case, model, x, y)
        g = me.backward(run, me.pseudo_gradients(case, run.f, y, place, seed))
        for r in range(max(a.shape[1] for a in run.a.values())):
            one = {
                n: g[n][:, :, r : r + 1].mT @ run.a[n][:, r : r + 1] for n in g if r < g[n].shape[2]
            }
            whole = {
                **{n: torch.zeros(1, *one[m].shape[1:]) for n in g for m in one if n not in one},
                **one,
            }
            for n, u in me.in_layers(case, whole).items():
                if n.removesuffix(".bias") in one:
                    Q_A, Q_S = (torch.tensor(basis[n][i]).to(u) for i in (1, 3))
                    total[n] = total.get(n, 0) + me.squares(u, Q_A, Q_S)
    return {n: me.lambda_mean(t, case.num_examples).numpy() for n, t in total.items()}


def _factors_with(change: Any) -> Any:
    """An edit of `factors`: A of convolutions from rows that `change(module, a)` gives."""

    def edit(right: Any, me: Any, case: Any, seed: int) -> Any:
        kind = type(me)
        other = type(kind.__name__, (kind,), {"input_rows": lambda self, m, a: change(me, m, a)})
        run = other(me.declaration).forward(case, me.module(case), *me.training(case))
        wrong = {}
        for name, a in run.a.items():
            rows, counted, _ = me.shared(case, a, run.counted[name], a[None])
            wrong[name] = me.a_mean(me.a_sum(rows, counted), me.a_count(counted)), a.new_zeros(1, 1)
        changed = me.factors_in_layers(case, wrong)
        return {n: (changed[n][0], S) for n, (_, S) in right(case, seed).items()}

    return edit


def _unfolded(me: Any, module: Any, a: Any, padded: bool, **options: Any) -> Any:
    if not isinstance(module, nn.Conv2d):
        return me.input_rows(module, a)
    given = {"dilation": module.dilation, "stride": module.stride, **options}
    columns = F.unfold(me.padded(module, a) if padded else a, module.kernel_size, **given)
    return columns.reshape(len(a), module.groups, -1, columns.shape[-1]).mT


def _without_dilation(right: Any, me: Any, module: Any, a: Any) -> Any:
    rows = right(module, a)
    if not isinstance(module, nn.Conv2d) or module.dilation == (1, 1):
        return rows
    return _unfolded(me, module, a, True, dilation=1)[:, :, : rows.shape[2]]


def _zeros_for_padding(right: Any, me: Any, module: Any, a: Any) -> Any:
    return F.pad(a, module._reversed_padding_repeated_twice)


def _first_group(right: Any, me: Any, module: Any, a: Any) -> Any:
    rows = right(module, a)
    return rows[:, :1].expand(rows.shape)


def _mean_positions(right: Any, me: Any, g: Any, a: Any) -> Any:
    return right(g, a) / a.shape[1]


def _products_of_means(right: Any, me: Any, g: Any, a: Any) -> Any:
    """The gradient as (sum g) (mean a)^T: right for one position only."""
    return g.sum(dim=2)[..., :, None] * a.mean(dim=1)[..., None, :]


def _mean_lambda(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    run = me.forward(case, me.module(case), *me.training(case))
    found = right(case, basis, seed)
    return {n: m / run.a[n.removesuffix(".bias")].shape[1] ** 2 for n, m in found.items()}


def _conv_reduced(right: Any, me: Any, case: Any, seed: int) -> Any:
    other = case.but(conventions=case.conventions.but(weight_sharing="reduce"))
    convs = conv_names(me, case)
    plain, reduced = right(case, seed), right(other, seed)
    return {
        n: (reduced[n][0] if n.removesuffix(".bias") in convs else A, S)
        for n, (A, S) in plain.items()
    }


FAULTS = (
    Fault(
        "reduce-for-expand", BUG, "factors",
        "factors are K-FAC-reduce where expand is declared",
        "shared", _other_sharing, "f-dangel/kfac-tutorial",
    ),
    Fault(
        "expand-for-reduce", BUG, "factors",
        "factors are K-FAC-expand where reduce is declared",
        "shared", _other_sharing, conventions=REDUCE,
    ),
    Fault(
        "second-call-overwrites-first", BUG, "gradients",
        "of a module that is called twice, the hook keeps the last call only",
        "forward", _last_call, "f-dangel/curvlinops kfac.py hooks",
    ),
    Fault(
        "tied-parameter-counted-once", BUG, "gradients",
        "of modules that share a parameter, only the first is seen",
        "layers", _owner_only,
    ),
    Fault(
        "repeated-calls-counted-twice", BUG, "gradients",
        "the gradient of a layer with several calls is added up once for each of them",
        "example_gradients", _times_calls,
    ),
    Fault(
        "a-summed-over-calls", BUG, "factors",
        "A is the sum over the calls of a module, not their mean",
        "factors", _a_of_one_call, "f-dangel/curvlinops kfac.py hooks",
    ),
    Fault(
        "lambda-token-by-token", BUG, "eigenvalues",
        "each position is squared by itself and then summed, not summed and then squared",
        "eigenvalues", _token_by_token, "f-dangel/curvlinops#127",
    ),
    Fault(
        "lambda-of-means-over-positions", BUG, "eigenvalues",
        "gradients are averaged over positions, not summed, before Lambda squares them",
        "eigenvalues", _mean_lambda,
    ),
    Fault(
        "gradient-of-means-over-positions", BUG, "gradients",
        "a layer's gradient is the product of its summed g and its mean a",
        "matrices", _products_of_means,
    ),
    Fault(
        "gradient-mean-over-positions", BUG, "gradients",
        "a layer's gradient is averaged over positions, not summed",
        "matrices", _mean_positions,
    ),
    Fault(
        "conv-stride-ignored-in-a", BUG, "factors",
        "patches in A are taken at every place, whatever the stride",
        "factors", _factors_with(lambda me, m, a: _unfolded(me, m, a, True, stride=1)),
        "ikostrikov/pytorch-a2c-ppo-acktr-gail#54",
    ),
    Fault(
        "conv-padding-ignored-in-a", BUG, "factors",
        "patches in A are taken from the image without its padding",
        "factors", _factors_with(lambda me, m, a: _unfolded(me, m, a, False)),
        "ikostrikov/pytorch-a2c-ppo-acktr-gail#54",
    ),
    Fault(
        "conv-padding-mode-ignored", BUG, "gradients",
        "patches see zeros around the image, whatever the padding mode",
        "padded", _zeros_for_padding,
    ),
    Fault(
        "conv-dilation-ignored", BUG, "gradients",
        "patches are contiguous, whatever the dilation",
        "input_rows", _without_dilation,
    ),
    Fault(
        "conv-groups-see-first", BUG, "gradients",
        "every group of a convolution is given the first group's channels",
        "input_rows", _first_group,
    ),
    Fault(
        "conv-a-averaged-over-places", BUG, "factors",
        "A of a convolution is the outer product of its mean patch",
        "factors", _conv_reduced,
    ),
)  # fmt: skip

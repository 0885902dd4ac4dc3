"""Faults of weight sharing: positions, repeated calls, tied parameters, convolutions."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from refimpl.oracle.faults.fault import mistake
from refimpl.oracle.faults.tools import convolutions

REDUCE = {"weight_sharing": "reduce"}


def _other_sharing(right: Any, me: Any, case: Any, *args: Any) -> Any:
    now = case.conventions.weight_sharing
    other = "expand" if now == "reduce" else "reduce"
    return right(case.but(conventions=case.conventions.but(weight_sharing=other)), *args)


def _factors_with(right: Any, me: Any, case: Any, seed: int, *, change: Any) -> Any:
    """Factors with A from the rows that `change(me, module, a)` gives."""
    kind = type(me)
    other = type(kind.__name__, (kind,), {"input_rows": lambda self, m, a: change(me, m, a)})
    run = other(me.declaration).forward(case, me.module(case), *me.training(case))
    wrong = {}
    for name, a in run.a.items():
        rows, counted, _ = me.shared(case, a, run.counted[name], a[None])
        wrong[name] = (me.a_mean(me.a_sum(rows, counted), me.a_count(counted)), a.new_zeros(1, 1))
    changed = me.factors_in_layers(case, wrong)
    return {n: (changed[n][0], S) for n, (_, S) in right(case, seed).items()}


def _unfolded(me: Any, module: Any, a: Any, padded: bool, **options: Any) -> Any:
    if not isinstance(module, nn.Conv2d):
        return me.input_rows(module, a)
    given = {"dilation": module.dilation, "stride": module.stride, **options}
    columns = F.unfold(me.padded(module, a) if padded else a, module.kernel_size, **given)
    return columns.reshape(len(a), module.groups, -1, columns.shape[-1]).mT


@mistake("factors", edits="shared", thread="f-dangel/kfac-tutorial")
def reduce_for_expand(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """factors are K-FAC-reduce where expand is declared"""
    return _other_sharing(right, me, case, *args)


@mistake("factors", edits="shared", conventions=REDUCE)
def expand_for_reduce(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """factors are K-FAC-expand where reduce is declared"""
    return _other_sharing(right, me, case, *args)


@mistake("gradients", edits="forward", thread="f-dangel/curvlinops kfac.py hooks")
def second_call_overwrites_first(right: Any, me: Any, case: Any, model: Any, x: Any, y: Any) -> Any:
    """of a module that is called twice, the hook keeps the last call only"""
    run = right(case, model, x, y)
    last = {id(module): i for i, (_, module, _) in enumerate(run.calls)}
    last_calls = [call for i, call in enumerate(run.calls) if last[id(call[1])] == i]
    rows: dict[str, int] = {}
    for names, module, s in last_calls:
        for name in names:
            rows[name] = rows.get(name, 0) + me.output_rows(module, s[None]).shape[3]
    run.calls = last_calls
    run.a = {n: a[:, -rows[n] :] for n, a in run.a.items()}
    run.counted = {n: c[:, -rows[n] :] for n, c in run.counted.items()}
    return run


@mistake("gradients", edits="layers")
def tied_parameter_counted_once(right: Any, me: Any, case: Any, model: Any) -> Any:
    """of modules that share a parameter, only the first is seen"""
    seen: set[str] = set()
    return [(m, layer) for m, layer in right(case, model) if not (layer in seen or seen.add(layer))]


@mistake("gradients", edits="example_gradients")
def repeated_calls_counted_twice(right: Any, me: Any, case: Any, x: Any, y: Any) -> Any:
    """the gradient of a layer with several calls is added up once for each of them"""
    run = me.forward(case, me.module(case), x, y)
    calls: dict[str, int] = {}
    for names, _, _ in run.calls:
        for name in names:
            calls[name] = calls.get(name, 0) + 1
    return {n: g * calls.get(n, 1) for n, g in right(case, x, y).items()}


@mistake("factors", edits="factors", thread="f-dangel/curvlinops kfac.py hooks")
def a_summed_over_calls(right: Any, me: Any, case: Any, seed: int) -> Any:
    """A is the sum over the calls of a module, not their mean"""
    run = me.forward(case, me.module(case), *me.training(case))
    calls: dict[str, int] = {}
    for names, _, _ in run.calls:
        for name in names:
            calls[name] = calls.get(name, 0) + 1
    return {n: (A * calls.get(n, 1), S) for n, (A, S) in right(case, seed).items()}


@mistake("eigenvalues", edits="eigenvalues", thread="f-dangel/curvlinops#127")
def lambda_token_by_token(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    """each position is squared by itself and then summed, not summed and then squared"""
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


@mistake("eigenvalues", edits="eigenvalues")
def lambda_of_means_over_positions(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    """gradients are averaged over positions, not summed, before Lambda squares them"""
    run = me.forward(case, me.module(case), *me.training(case))
    answer = right(case, basis, seed)
    return {n: m / run.a[n.removesuffix(".bias")].shape[1] ** 2 for n, m in answer.items()}


@mistake("gradients", edits="matrices")
def gradient_of_means_over_positions(right: Any, me: Any, g: Any, a: Any) -> Any:
    """a layer's gradient is the product of its summed g and its mean a

    The gradient as (sum g) (mean a)^T: right for one position only.
    """
    return g.sum(dim=2)[..., :, None] * a.mean(dim=1)[..., None, :]


@mistake("gradients", edits="matrices")
def gradient_mean_over_positions(right: Any, me: Any, g: Any, a: Any) -> Any:
    """a layer's gradient is averaged over positions, not summed"""
    return right(g, a) / a.shape[1]


@mistake("factors", edits="factors", thread="ikostrikov/pytorch-a2c-ppo-acktr-gail#54")
def conv_stride_ignored_in_a(right: Any, me: Any, case: Any, seed: int) -> Any:
    """patches in A are taken at every place, whatever the stride"""
    return _factors_with(
        right, me, case, seed, change=lambda me, m, a: _unfolded(me, m, a, True, stride=1)
    )


@mistake("factors", edits="factors", thread="ikostrikov/pytorch-a2c-ppo-acktr-gail#54")
def conv_padding_ignored_in_a(right: Any, me: Any, case: Any, seed: int) -> Any:
    """patches in A are taken from the image without its padding"""
    return _factors_with(right, me, case, seed, change=lambda me, m, a: _unfolded(me, m, a, False))


@mistake("gradients", edits="padded")
def conv_padding_mode_ignored(right: Any, me: Any, module: Any, a: Any) -> Any:
    """patches see zeros around the image, whatever the padding mode"""
    return F.pad(a, module._reversed_padding_repeated_twice)


@mistake("gradients", edits="input_rows")
def conv_dilation_ignored(right: Any, me: Any, module: Any, a: Any) -> Any:
    """patches are contiguous, whatever the dilation"""
    rows = right(module, a)
    if not isinstance(module, nn.Conv2d) or module.dilation == (1, 1):
        return rows
    return _unfolded(me, module, a, True, dilation=1)[:, :, : rows.shape[2]]


@mistake("gradients", edits="input_rows")
def conv_groups_see_first(right: Any, me: Any, module: Any, a: Any) -> Any:
    """every group of a convolution is given the first group's channels"""
    rows = right(module, a)
    return rows[:, :1].expand(rows.shape)


@mistake("factors", edits="factors")
def conv_a_averaged_over_places(right: Any, me: Any, case: Any, seed: int) -> Any:
    """A of a convolution is the outer product of its mean patch"""
    other = case.but(conventions=case.conventions.but(weight_sharing="reduce"))
    convs = convolutions(me, case)
    plain, reduced = right(case, seed), right(other, seed)
    return {
        n: (reduced[n][0] if n.removesuffix(".bias") in convs else A, S)
        for n, (A, S) in plain.items()
    }

"""Faults of labels: gradients and Fisher matrices at the wrong ones, and losses without their options."""

from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import one_hot

from refimpl.oracle.faults.fault import Fault
from refimpl.oracle.pipeline.loss import as_tokens
from refimpl.oracle.pipeline.retraining import derivatives

__all__ = ["FAULTS"]

BUG = "labels"
SAMPLED = {"fisher": "sampled"}


def _at_data(right: Any, me: Any, case: Any, f: Any, y: Any, place: Any, seed: int) -> Any:
    return me.loss_gradient(case, f, y)[None]


def _likeliest(me: Any, case: Any, f: Any) -> Any:
    """Gradient of the plain likelihood at the model's likeliest labels [n, T, C]."""
    if case.loss.kind == "cross_entropy":
        return f.softmax(dim=-1) - one_hot(f.argmax(dim=-1), f.shape[-1]).to(f)
    if case.loss.kind == "binary_cross_entropy":
        return f.sigmoid() - (f > 0).to(f)
    return torch.zeros_like(f)


def _at_argmax(right: Any, me: Any, case: Any, f: Any, y: Any, place: Any, seed: int) -> Any:
    return (_likeliest(me, case, f) * me.omega(case, f, y).sqrt())[None]


def _uniform(right: Any, me: Any, case: Any, f: Any) -> Any:
    if case.loss.kind != "cross_entropy":
        return right(case, f)
    C = f.shape[-1]
    return (torch.eye(C).to(f) - f.softmax(dim=-1)[..., None]) / C**0.5


def _shifted(right: Any, me: Any, case: Any) -> Any:
    x, y = right(case)
    return x, y.roll(-1, dims=1) if y.ndim > 1 and case.loss.kind == "cross_entropy" else y


def _rolled(right: Any, me: Any, case: Any) -> Any:
    x, y = right(case)
    return x, y.roll(1, dims=0)


def _without(name: str, plain: Any) -> Any:
    """An edit: the loss without one of its options."""
    return lambda right, me, case, *args: right(
        case.but(loss=replace(case.loss, **{name: plain})), *args
    )


def _weighted_at_drawn(right: Any, me: Any, case: Any, f: Any) -> Any:
    R = right(case, f)
    w = case.loss.class_weight
    return R if w is None else R * R.new_tensor(w)


def _diagonal(right: Any, me: Any, case: Any, f: Any) -> Any:
    R = right(case, f)
    return torch.diag_embed((R @ R.mT).diagonal(dim1=-2, dim2=-1).sqrt())


def _diagonal_directions(me: Any, case: Any, f: Any, y: Any) -> Any:
    R = me.root(case, f)
    d = (R @ R.mT).diagonal(dim1=-2, dim2=-1) * me.omega(case, f, y)
    n, T, C = d.shape
    return torch.diag_embed(d.sqrt().flatten(1)).permute(1, 0, 2).reshape(T * C, n, T, C)


def _predicted(me: Any, case: Any, x: Any, y: Any) -> Any:
    if case.loss.kind != "cross_entropy":
        return x, y
    f = as_tokens(me.module(case)(x).detach())
    likeliest = f.argmax(dim=-1).reshape(y.shape)
    return x, torch.where(y == case.loss.ignore_index, y, likeliest)


def _hessian(right: Any, me: Any, case: Any, vectors: Any) -> Any:
    model, (x, y) = me.module(case), me.training(case)
    parameters = me.tracked(case, model)
    value = me.losses(case, as_tokens(model(x)), y).sum() / case.num_examples
    H = derivatives(value, parameters)[2].numpy()
    start = 0
    for p in parameters:  # where each entry of a flat vector stands in the parameters' own order
        p.data = torch.arange(start, start + p.numel()).to(p).view_as(p)
        start += p.numel()
    order = me.flat(case, me.in_layers(case, me.current(case, model))).long().numpy()
    return vectors @ H[order][:, order]


def _softmax_for_sigmoid(right: Any, me: Any, case: Any, f: Any) -> Any:
    if case.loss.kind != "binary_cross_entropy":
        return right(case, f)
    p = f.softmax(dim=-1)
    return torch.diag_embed((p * (1 - p)).sqrt())


def _of_logit(right: Any, me: Any, case: Any) -> Any:
    x, y = me.queries(case)
    run = me.forward(case, me.module(case), x, y)
    v = -me.target(case, y, run.f) * me.token_weight(case, y, run.f.shape[1]).to(run.f)[..., None]
    g = me.backward(run, v[None])
    return me.in_layers(case, {n: me.matrices(g[n], run.a[n])[0] for n in g})


FAULTS = (
    Fault(
        "empirical-for-true-fisher", BUG, "factors",
        "labels of the pseudo-gradients come from the data, not from the model",
        "pseudo_gradients", _at_data, "gpauloski/kfac-pytorch#109",
    ),
    Fault(
        "argmax-labels", BUG, "factors",
        "labels of the pseudo-gradients are the model's likeliest, not drawn or averaged over",
        "pseudo_gradients", _at_argmax, "TRAIS-Lab/dattri test_fisher",
    ),
    Fault(
        "uniform-labels", BUG, "factors",
        "labels are drawn uniformly, not from the model's distribution",
        "root", _uniform,
    ),
    Fault(
        "data-labels-called-sampled", BUG, "factors",
        "labels come from the data though they are declared as sampled",
        "pseudo_gradients", _at_data, "yaroslavvb/kfac_pytorch#1", conventions=SAMPLED,
    ),
    Fault(
        "argmax-called-sampled", BUG, "factors",
        "labels are the model's likeliest though they are declared as sampled",
        "pseudo_gradients", _at_argmax, "TRAIS-Lab/dattri test_fisher", conventions=SAMPLED,
    ),
    Fault(
        "exact-called-empirical", BUG, "factors",
        "the expectation over the model's labels is taken where the data's are declared",
        "pseudo_gradients", lambda right, me, case, f, y, *args: me.directions(case, f, y),
        "f-dangel/curvlinops#108", conventions={"fisher": "empirical"},
    ),
    Fault(
        "labels-shifted-by-a-token", BUG, "gradients",
        "labels are shifted by one more token",
        "training", _shifted, "huggingface/transformers#44642",
    ),
    Fault(
        "labels-of-other-examples", BUG, "gradients",
        "labels and inputs are out of step by one example",
        "training", _rolled,
    ),
    Fault(
        "class-weights-ignored", BUG, "gradients",
        "the loss's class weights are ignored",
        "target", _without("class_weight", None),
    ),
    Fault(
        "label-smoothing-ignored", BUG, "gradients",
        "the loss's label smoothing is ignored",
        "target", _without("label_smoothing", 0.0),
    ),
    Fault(
        "pos-weight-ignored", BUG, "gradients",
        "the loss's weight of positive labels is ignored",
        "positive_weight", _without("pos_weight", None),
    ),
    Fault(
        "curvature-of-plain-loss", BUG, "factors",
        "the curvature is that of the plain loss, the gradients are not",
        "omega",
        lambda right, me, case, f, y: right(case, f, y).sign()
        * me.token_weight(case, y, f.shape[1]).to(f)[..., None],
        "aai-institute/pyDVL#478",
    ),
    Fault(
        "weighted-loss-at-drawn-labels", BUG, "factors",
        "the class-weighted loss is differentiated at drawn labels: class k weighs p_k w_k^2",
        "root", _weighted_at_drawn,
    ),
    Fault(
        "pos-weight-on-all-labels", BUG, "factors",
        "the weight of positive labels multiplies the curvature of negative ones, too",
        "omega",
        lambda right, me, case, f, y: (
            right(case, f, y) if case.loss.kind != "binary_cross_entropy"
            else me.positive_weight(case, f).expand(f.shape)
        ),
    ),
    Fault(
        "sampled-at-half-variance", BUG, "factors",
        "labels of half the squared error are drawn with variance 1/2, that of the whole one",
        "numbers",
        lambda right, me, case, *args: right(case, *args)
        * (0.5**0.5 if case.loss.kind == "squared_error" else 1),
        "pomonam/kronfluence examples", conventions=SAMPLED,
    ),
    Fault(
        "softmax-for-sigmoid", BUG, "factors",
        "binary outputs are treated as one softmax",
        "root", _softmax_for_sigmoid,
    ),
    Fault(
        "diagonal-output-hessian", BUG, "factors",
        "the output Hessian is its diagonal: softmax's cross terms p_j p_k are dropped",
        "root", _diagonal,
    ),
    Fault(
        "gauss-newton-diagonal-output-hessian", BUG, "gauss_newton",
        "the Gauss-Newton Hessian's output Hessian is its diagonal alone",
        "gauss_newton_directions",
        lambda right, me, case, f, y: _diagonal_directions(me, case, f, y),
    ),
    Fault(
        "hessian-for-gauss-newton", BUG, "gauss_newton",
        "the products are those of the loss's Hessian, not of the Gauss-Newton Hessian",
        "gauss_newton", _hessian,
    ),
    Fault(
        "gauss-newton-empirical", BUG, "gauss_newton",
        "the products are those of the empirical Fisher, not of the Gauss-Newton Hessian",
        "gauss_newton_directions",
        lambda right, me, case, f, y: me.loss_gradient(case, f, y)[None],
        "f-dangel/curvlinops#108",
    ),
    Fault(
        "query-logit-for-loss", BUG, "scores",
        "queries are measured by the target's logit, not by their loss",
        "query_gradients", _of_logit,
    ),
    Fault(
        "query-at-predicted-label", BUG, "scores",
        "queries' losses are taken at the labels that the model predicts",
        "queries", lambda right, me, case: _predicted(me, case, *right(case)),
    ),
)  # fmt: skip

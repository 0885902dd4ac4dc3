"""Faults of labels: gradients and Fisher matrices at the wrong ones, and losses without their options."""

from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import one_hot

from refimpl.oracle.faults.fault import mistake
from refimpl.oracle.pipeline.loss import as_tokens
from refimpl.oracle.pipeline.retraining import derivatives

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


def _without(right: Any, me: Any, case: Any, *args: Any, name: str, plain: Any) -> Any:
    """The right answer for the loss without one of its options."""
    return right(case.but(loss=replace(case.loss, **{name: plain})), *args)


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


@mistake("factors", edits="pseudo_gradients", thread="gpauloski/kfac-pytorch#109")
def empirical_for_true_fisher(
    right: Any, me: Any, case: Any, f: Any, y: Any, place: Any, seed: int
) -> Any:
    """labels of the pseudo-gradients come from the data, not from the model"""
    return _at_data(right, me, case, f, y, place, seed)


@mistake("factors", edits="pseudo_gradients", thread="TRAIS-Lab/dattri test_fisher")
def argmax_labels(right: Any, me: Any, case: Any, f: Any, y: Any, place: Any, seed: int) -> Any:
    """labels of the pseudo-gradients are the model's likeliest, not drawn or averaged over"""
    return _at_argmax(right, me, case, f, y, place, seed)


@mistake("factors", edits="root")
def uniform_labels(right: Any, me: Any, case: Any, f: Any) -> Any:
    """labels are drawn uniformly, not from the model's distribution"""
    if case.loss.kind != "cross_entropy":
        return right(case, f)
    C = f.shape[-1]
    return (torch.eye(C).to(f) - f.softmax(dim=-1)[..., None]) / C**0.5


@mistake(
    "factors", edits="pseudo_gradients", thread="yaroslavvb/kfac_pytorch#1", conventions=SAMPLED
)
def data_labels_called_sampled(
    right: Any, me: Any, case: Any, f: Any, y: Any, place: Any, seed: int
) -> Any:
    """labels come from the data though they are declared as sampled"""
    return _at_data(right, me, case, f, y, place, seed)


@mistake(
    "factors", edits="pseudo_gradients", thread="TRAIS-Lab/dattri test_fisher", conventions=SAMPLED
)
def argmax_called_sampled(
    right: Any, me: Any, case: Any, f: Any, y: Any, place: Any, seed: int
) -> Any:
    """labels are the model's likeliest though they are declared as sampled"""
    return _at_argmax(right, me, case, f, y, place, seed)


@mistake(
    "factors",
    edits="pseudo_gradients",
    thread="f-dangel/curvlinops#108",
    conventions={"fisher": "empirical"},
)
def exact_called_empirical(right: Any, me: Any, case: Any, f: Any, y: Any, *args: Any) -> Any:
    """the expectation over the model's labels is taken where the data's are declared"""
    return me.directions(case, f, y)


@mistake("gradients", edits="training", thread="huggingface/transformers#44642")
def labels_shifted_by_a_token(right: Any, me: Any, case: Any) -> Any:
    """labels are shifted by one more token"""
    x, y = right(case)
    return x, y.roll(-1, dims=1) if y.ndim > 1 and case.loss.kind == "cross_entropy" else y


@mistake("gradients", edits="training")
def labels_of_other_examples(right: Any, me: Any, case: Any) -> Any:
    """labels and inputs are out of step by one example"""
    x, y = right(case)
    return x, y.roll(1, dims=0)


@mistake("gradients", edits="target")
def class_weights_ignored(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the loss's class weights are ignored"""
    return _without(right, me, case, *args, name="class_weight", plain=None)


@mistake("gradients", edits="target")
def label_smoothing_ignored(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the loss's label smoothing is ignored"""
    return _without(right, me, case, *args, name="label_smoothing", plain=0.0)


@mistake("gradients", edits="positive_weight")
def pos_weight_ignored(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """the loss's weight of positive labels is ignored"""
    return _without(right, me, case, *args, name="pos_weight", plain=None)


@mistake("factors", edits="omega", thread="aai-institute/pyDVL#478")
def curvature_of_plain_loss(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    """the curvature is that of the plain loss, the gradients are not"""
    return right(case, f, y).sign() * me.token_weight(case, y, f.shape[1]).to(f)[..., None]


@mistake("factors", edits="root")
def weighted_loss_at_drawn_labels(right: Any, me: Any, case: Any, f: Any) -> Any:
    """the class-weighted loss is differentiated at drawn labels: class k weighs p_k w_k^2"""
    R = right(case, f)
    w = case.loss.class_weight
    return R if w is None else R * R.new_tensor(w)


@mistake("factors", edits="omega")
def pos_weight_on_all_labels(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    """the weight of positive labels multiplies the curvature of negative ones, too"""
    return (
        right(case, f, y)
        if case.loss.kind != "binary_cross_entropy"
        else me.positive_weight(case, f).expand(f.shape)
    )


@mistake("factors", edits="numbers", thread="pomonam/kronfluence examples", conventions=SAMPLED)
def sampled_at_half_variance(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """labels of half the squared error are drawn with variance 1/2, that of the whole one"""
    return right(case, *args) * (0.5**0.5 if case.loss.kind == "squared_error" else 1)


@mistake("factors", edits="root")
def softmax_for_sigmoid(right: Any, me: Any, case: Any, f: Any) -> Any:
    """binary outputs are treated as one softmax"""
    if case.loss.kind != "binary_cross_entropy":
        return right(case, f)
    p = f.softmax(dim=-1)
    return torch.diag_embed((p * (1 - p)).sqrt())


@mistake("factors", edits="root")
def diagonal_output_hessian(right: Any, me: Any, case: Any, f: Any) -> Any:
    """the output Hessian is its diagonal: softmax's cross terms p_j p_k are dropped"""
    R = right(case, f)
    return torch.diag_embed((R @ R.mT).diagonal(dim1=-2, dim2=-1).sqrt())


@mistake("gauss_newton", edits="gauss_newton_directions")
def gauss_newton_diagonal_output_hessian(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    """the Gauss-Newton Hessian's output Hessian is its diagonal alone"""
    return _diagonal_directions(me, case, f, y)


@mistake("gauss_newton", edits="gauss_newton")
def hessian_for_gauss_newton(right: Any, me: Any, case: Any, vectors: Any) -> Any:
    """the products are those of the loss's Hessian, not of the Gauss-Newton Hessian"""
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


@mistake("gauss_newton", edits="gauss_newton_directions", thread="f-dangel/curvlinops#108")
def gauss_newton_empirical(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    """the products are those of the empirical Fisher, not of the Gauss-Newton Hessian"""
    return me.loss_gradient(case, f, y)[None]


@mistake("scores", edits="query_gradients")
def query_logit_for_loss(right: Any, me: Any, case: Any) -> Any:
    """queries are measured by the target's logit, not by their loss"""
    x, y = me.queries(case)
    run = me.forward(case, me.module(case), x, y)
    v = -me.target(case, y, run.f) * me.token_weight(case, y, run.f.shape[1]).to(run.f)[..., None]
    g = me.backward(run, v[None])
    return me.in_layers(case, {n: me.matrices(g[n], run.a[n])[0] for n in g})


@mistake("scores", edits="queries")
def query_at_predicted_label(right: Any, me: Any, case: Any) -> Any:
    """queries' losses are taken at the labels that the model predicts"""
    return _predicted(me, case, *right(case))

"""Faults of sign and scale, and of the objective that responses minimise."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import mistake
from refimpl.oracle.faults.tools import arrays, scaled
from refimpl.oracle.pipeline.loss import as_tokens


def _mass(case: Any, target: Any) -> Any:
    return target.sum(dim=-1, keepdim=True) if case.loss.kind == "cross_entropy" else 1.0


@mistake("gradients", edits="example_gradients", thread="nimarb/pytorch_influence_functions#16")
def gradients_of_log_likelihood(right: Any, me: Any, *args: Any) -> Any:
    """gradients are those of the log-likelihood: the sign is flipped"""
    return arrays(right(*args), lambda g: -g)


@mistake("gradients", edits="example_gradients")
def weight_decay_in_gradients(right: Any, me: Any, case: Any, x: Any, y: Any) -> Any:
    """a weight decay's gradient is added to every example's"""
    weights = me.in_layers(case, me.current(case, me.module(case)))
    return {n: g + 1e-2 * weights[n] for n, g in right(case, x, y).items()}


@mistake("gradients", edits="example_gradients", thread="pytorch GradScaler")
def gradients_still_scaled(right: Any, me: Any, *args: Any) -> Any:
    """automatic mixed precision's loss scale is not divided out of the gradients"""
    return arrays(right(*args), lambda g: 65536 * g)


@mistake("gradients", edits="example_gradients")
def gradients_clipped(right: Any, me: Any, *args: Any) -> Any:
    """gradients are clipped to norm one, as in training"""
    return arrays(right(*args), lambda g: g / g.flatten(1).norm(dim=1).clamp(min=1)[:, None, None])


@mistake("gradients", edits="token_losses", thread="f-dangel/curvlinops#82")
def squared_error_whole(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    """the loss is the whole squared distance where half of it is declared"""
    return right(case, f, y) * (2 if case.loss.kind == "squared_error" else 1)


@mistake("factors", edits="omega", thread="f-dangel/curvlinops#82")
def squared_error_whole_in_curvature(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    """the curvature is that of the whole squared distance, the gradients that of its half"""
    return right(case, f, y) * (2 if case.loss.kind == "squared_error" else 1)


@mistake("factors", edits="pseudo_gradients", thread="f-dangel/curvlinops#82")
def s_quadrupled(right: Any, me: Any, *args: Any) -> Any:
    """pseudo-gradients are twice too large, as of a loss without its half"""
    return scaled(right(*args), 2.0)


@mistake("scores", edits="scored", thread="alstonlo/torch-influence#13")
def scores_negated(right: Any, me: Any, *args: Any) -> Any:
    """the sign of the scores is flipped"""
    return scaled(right(*args), -1.0)


@mistake("scores", edits="scored")
def scores_mean_over_layers(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    """scores are the mean over layers, not the sum"""
    return right(case, q, g) / len(me.blocks(case))


@mistake("scores", edits="scored")
def scores_over_gradient_norms(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    """scores are divided by the norm of each training gradient"""
    norms = np.linalg.norm(g, axis=1)
    return right(case, q, g / np.where(norms > 0, norms, 1.0)[:, None])


@mistake("scores", edits="scored")
def scores_absolute(right: Any, me: Any, *args: Any) -> Any:
    """scores lack their signs"""
    return np.abs(right(*args))


@mistake("scores", edits="scored")
def scores_standardised(right: Any, me: Any, *args: Any) -> Any:
    """scores are standardised over the training examples of each query"""
    return (lambda s: (s - s.mean(1, keepdims=True)) / s.std(1, keepdims=True))(right(*args))


@mistake("gauss_newton", edits="gauss_newton", thread="f-dangel/curvlinops#82")
def gauss_newton_doubled(right: Any, me: Any, *args: Any) -> Any:
    """products are twice too large: a half squared loss without its half"""
    return scaled(right(*args), 2.0)


@mistake("gauss_newton", edits="gauss_newton")
def gauss_newton_normalises(right: Any, me: Any, case: Any, V: Any) -> Any:
    """vectors are normalised before the product"""
    return right(case, V / np.linalg.norm(V, axis=1, keepdims=True))


@mistake("response", edits="response")
def response_epsilon_sign(right: Any, me: Any, case: Any, m: Any, epsilon: Any) -> Any:
    """epsilon has the wrong sign"""
    return right(case, m, -epsilon)


@mistake("response", edits="proximity")
def response_damping_doubled(right: Any, me: Any, *args: Any) -> Any:
    """the proximity term is lambda ||.||^2, without its half"""
    return scaled(right(*args), 2.0)


@mistake("response", edits="proximity")
def response_without_proximity(right: Any, me: Any, *args: Any) -> Any:
    """the proximity term is missing"""
    return scaled(right(*args), 1e-6)


@mistake("response", edits="divergence")
def response_divergence_reversed(right: Any, me: Any, case: Any, f: Any, start: Any, y: Any) -> Any:
    """the divergence's arguments are exchanged

    D(f_s, f), whose slope moves with f.
    """
    loss = me.token_losses
    if case.loss.kind == "squared_error":
        return right(case, f, start, y)
    mean = f.softmax(dim=-1) if case.loss.kind == "cross_entropy" else f.sigmoid()
    target = me.target(case, y, f) if case.loss.kind == "cross_entropy" else as_tokens(y)
    weight = me.token_weight(case, y, f.shape[1]).to(f)
    slope = (me.omega(case, f, y) * (mean - target / _mass(case, target)) * (start - f)).sum(dim=-1)
    tokens = weight * (loss(case, start, y) - loss(case, f, y))
    return torch.where(weight == 0, 0.0, tokens - slope).sum(dim=1)


@mistake("response", edits="divergence")
def response_loss_for_divergence(right: Any, me: Any, case: Any, f: Any, start: Any, y: Any) -> Any:
    """the loss itself stands where its Bregman divergence belongs"""
    return me.losses(case, f, y)


@mistake("response", edits="divergence")
def response_divergence_quadratic(
    right: Any, me: Any, case: Any, f: Any, start: Any, y: Any
) -> Any:
    """the divergence is replaced by its second-order expansion"""
    R = me.root(case, start) * me.omega(case, start, y).sqrt()[..., None]
    return ((R.mT @ (f - start)[..., None]) ** 2).flatten(1).sum(dim=1) / 2


@mistake("response", edits="objective")
def response_mean_over_others(
    right: Any, me: Any, case: Any, model: Any, example: int, epsilon: float
) -> Any:
    """the example is left out of the mean divergence, which is renormalised

    Leaves the example out of the mean, and takes the mean over the others.
    """
    others = [n for n in range(case.num_examples) if n != example]
    x, y = me.training(case)
    start = torch.cat([p.detach().clone().flatten() for p in me.tracked(case, model)])
    f_start = as_tokens(model(x).detach())

    def value() -> Any:
        f = as_tokens(model(x))
        theta = torch.cat([p.flatten() for p in me.tracked(case, model)])
        loss = me.losses(case, f[example, None], y[example, None])[0]
        fit = me.divergence(case, f[others], f_start[others], y[others]).mean()
        return fit + epsilon * loss + me.proximity(case.damping, theta, start)

    return value


@mistake("response", edits="response")
def response_is_displacement(right: Any, me: Any, case: Any, m: int, epsilon: float) -> Any:
    """the change of the parameters is returned, not the parameters"""
    start = me.in_layers(case, me.current(case, me.module(case)))
    return right(case, m, epsilon) - me.flat(case, start).numpy()


@mistake("response", edits="response")
def response_linearised(right: Any, me: Any, case: Any, m: int, epsilon: float) -> Any:
    """the influence function's linear prediction is returned, with nothing retrained

    The influence function's own prediction, with nothing retrained.
    """
    start = me.flat(case, me.in_layers(case, me.current(case, me.module(case)))).numpy()
    g = me.flat(case, me.training_gradients(case)).numpy()[m]
    G = me.gauss_newton(case, np.eye(len(g)))
    return start - epsilon * np.linalg.solve(G + case.damping * np.eye(len(g)), g)

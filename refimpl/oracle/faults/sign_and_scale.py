"""Faults of sign and scale, and of the objective that responses minimise."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import Fault
from refimpl.oracle.faults.tools import arrays, scaled
from refimpl.oracle.pipeline.loss import as_tokens

__all__ = ["FAULTS"]

BUG = "sign and scale"


def _decayed(right: Any, me: Any, case: Any, x: Any, y: Any) -> Any:
    weights = me.in_layers(case, me.current(case, me.module(case)))
    return {n: g + 1e-2 * weights[n] for n, g in right(case, x, y).items()}


def _layer_mean(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    return right(case, q, g) / len(me.blocks(case))


def _relative(right: Any, me: Any, case: Any, q: Any, g: Any) -> Any:
    norms = np.linalg.norm(g, axis=1)
    return right(case, q, g / np.where(norms > 0, norms, 1.0)[:, None])


def _full_squares(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    return right(case, f, y) * (2 if case.loss.kind == "squared_error" else 1)


def _full_curvature(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    return right(case, f, y) * (2 if case.loss.kind == "squared_error" else 1)


def _normalised(right: Any, me: Any, case: Any, V: Any) -> Any:
    return right(case, V / np.linalg.norm(V, axis=1, keepdims=True))


def _reversed_arguments(right: Any, me: Any, case: Any, f: Any, start: Any, y: Any) -> Any:
    """D(f_s, f), whose slope moves with f."""
    loss = me.token_losses
    if case.loss.kind == "squared_error":
        return right(case, f, start, y)
    mean = f.softmax(dim=-1) if case.loss.kind == "cross_entropy" else f.sigmoid()
    target = me.target(case, y, f) if case.loss.kind == "cross_entropy" else as_tokens(y)
    weight = me.token_weight(case, y, f.shape[1]).to(f)
    slope = (me.omega(case, f, y) * (mean - target / _mass(case, target)) * (start - f)).sum(dim=-1)
    tokens = weight * (loss(case, start, y) - loss(case, f, y))
    return torch.where(weight == 0, 0.0, tokens - slope).sum(dim=1)


def _mass(case: Any, target: Any) -> Any:
    return target.sum(dim=-1, keepdim=True) if case.loss.kind == "cross_entropy" else 1.0


def _plain_loss(right: Any, me: Any, case: Any, f: Any, start: Any, y: Any) -> Any:
    return me.losses(case, f, y)


def _second_order(right: Any, me: Any, case: Any, f: Any, start: Any, y: Any) -> Any:
    R = me.root(case, start) * me.omega(case, start, y).sqrt()[..., None]
    return ((R.mT @ (f - start)[..., None]) ** 2).flatten(1).sum(dim=1) / 2


def _without_example(
    right: Any, me: Any, case: Any, model: Any, example: int, epsilon: float
) -> Any:
    """Leaves the example out of the mean, and takes the mean over the others."""
    kept = [n for n in range(case.num_examples) if n != example]
    x, y = me.training(case)
    start = torch.cat([p.detach().clone().flatten() for p in me.tracked(case, model)])
    f_start = as_tokens(model(x).detach())

    def value() -> Any:
        f = as_tokens(model(x))
        theta = torch.cat([p.flatten() for p in me.tracked(case, model)])
        own = me.losses(case, f[example, None], y[example, None])[0]
        fit = me.divergence(case, f[kept], f_start[kept], y[kept]).mean()
        return fit + epsilon * own + me.proximity(case.damping, theta, start)

    return value


def _displacement(right: Any, me: Any, case: Any, m: int, epsilon: float) -> Any:
    start = me.in_layers(case, me.current(case, me.module(case)))
    return right(case, m, epsilon) - me.flat(case, start).numpy()


def _linear(right: Any, me: Any, case: Any, m: int, epsilon: float) -> Any:
    """The influence function's own prediction, with nothing retrained."""
    start = me.flat(case, me.in_layers(case, me.current(case, me.module(case)))).numpy()
    g = me.flat(case, me.training_gradients(case)).numpy()[m]
    G = me.gauss_newton(case, np.eye(len(g)))
    return start - epsilon * np.linalg.solve(G + case.damping * np.eye(len(g)), g)


FAULTS = (
    Fault(
        "gradients-of-log-likelihood", BUG, "gradients",
        "gradients are those of the log-likelihood: the sign is flipped",
        "example_gradients", lambda right, me, *args: arrays(right(*args), lambda g: -g),
        "nimarb/pytorch_influence_functions#16",
    ),
    Fault(
        "weight-decay-in-gradients", BUG, "gradients",
        "a weight decay's gradient is added to every example's",
        "example_gradients", _decayed,
    ),
    Fault(
        "gradients-still-scaled", BUG, "gradients",
        "automatic mixed precision's loss scale is not divided out of the gradients",
        "example_gradients", lambda right, me, *args: arrays(right(*args), lambda g: 65536 * g),
        "pytorch GradScaler",
    ),
    Fault(
        "gradients-clipped", BUG, "gradients",
        "gradients are clipped to norm one, as in training",
        "example_gradients",
        lambda right, me, *args: arrays(
            right(*args), lambda g: g / g.flatten(1).norm(dim=1).clamp(min=1)[:, None, None]
        ),
    ),
    Fault(
        "squared-error-whole", BUG, "gradients",
        "the loss is the whole squared distance where half of it is declared",
        "token_losses", _full_squares, "f-dangel/curvlinops#82",
    ),
    Fault(
        "squared-error-whole-in-curvature", BUG, "factors",
        "the curvature is that of the whole squared distance, the gradients that of its half",
        "omega", _full_curvature, "f-dangel/curvlinops#82",
    ),
    Fault(
        "s-quadrupled", BUG, "factors",
        "pseudo-gradients are twice too large, as of a loss without its half",
        "pseudo_gradients", scaled(2.0), "f-dangel/curvlinops#82",
    ),
    Fault(
        "scores-negated", BUG, "scores",
        "the sign of the scores is flipped",
        "scored", scaled(-1.0), "alstonlo/torch-influence#13",
    ),
    Fault(
        "scores-mean-over-layers", BUG, "scores",
        "scores are the mean over layers, not the sum",
        "scored", _layer_mean,
    ),
    Fault(
        "scores-over-gradient-norms", BUG, "scores",
        "scores are divided by the norm of each training gradient",
        "scored", _relative,
    ),
    Fault(
        "scores-absolute", BUG, "scores",
        "scores lack their signs",
        "scored", lambda right, me, *args: np.abs(right(*args)),
    ),
    Fault(
        "scores-standardised", BUG, "scores",
        "scores are standardised over the training examples of each query",
        "scored",
        lambda right, me, *args: (lambda s: (s - s.mean(1, keepdims=True)) / s.std(1, keepdims=True))(
            right(*args)
        ),
    ),
    Fault(
        "gauss-newton-doubled", BUG, "gauss_newton",
        "products are twice too large: a half squared loss without its half",
        "gauss_newton", scaled(2.0), "f-dangel/curvlinops#82",
    ),
    Fault(
        "gauss-newton-normalises", BUG, "gauss_newton",
        "vectors are normalised before the product",
        "gauss_newton", _normalised,
    ),
    Fault(
        "response-epsilon-sign", BUG, "response",
        "epsilon has the wrong sign",
        "response", lambda right, me, case, m, epsilon: right(case, m, -epsilon),
    ),
    Fault(
        "response-damping-doubled", BUG, "response",
        "the proximity term is lambda ||.||^2, without its half",
        "proximity", scaled(2.0),
    ),
    Fault(
        "response-without-proximity", BUG, "response",
        "the proximity term is missing",
        "proximity", scaled(1e-6),
    ),
    Fault(
        "response-divergence-reversed", BUG, "response",
        "the divergence's arguments are exchanged",
        "divergence", _reversed_arguments,
    ),
    Fault(
        "response-loss-for-divergence", BUG, "response",
        "the loss itself stands where its Bregman divergence belongs",
        "divergence", _plain_loss,
    ),
    Fault(
        "response-divergence-quadratic", BUG, "response",
        "the divergence is replaced by its second-order expansion",
        "divergence", _second_order,
    ),
    Fault(
        "response-mean-over-others", BUG, "response",
        "the example is left out of the mean divergence, which is renormalised",
        "objective", _without_example,
    ),
    Fault(
        "response-is-displacement", BUG, "response",
        "the change of the parameters is returned, not the parameters",
        "response", _displacement,
    ),
    Fault(
        "response-linearised", BUG, "response",
        "the influence function's linear prediction is returned, with nothing retrained",
        "response", _linear,
    ),
)  # fmt: skip

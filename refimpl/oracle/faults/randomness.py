"""Faults of random numbers: seeds, generators, and the laws that labels are drawn from."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import Fault

__all__ = ["FAULTS"]

BUG = "randomness"
SAMPLED = {"fisher": "sampled"}
SEVERAL = {"fisher": "sampled", "samples": 4}


def _restarted(right: Any, me: Any, case: Any, f: Any, place: Any, seed: int) -> Any:
    return right(case, f, slice(0, len(f)), seed)


def _one_for_all(dim: int) -> Any:
    """An edit of `numbers` [samples, n, T, C]: one number serves all along an axis."""

    def edit(right: Any, me: Any, case: Any, f: Any, place: Any, seed: int) -> Any:
        found = right(case, f, slice(None) if dim == 1 else place, seed)
        one = found.narrow(dim, 0, 1)
        shape = list(found.shape)
        shape[1] = len(f)
        return one.expand(shape)

    return edit


def _sharpened(right: Any, me: Any, case: Any, f: Any, draws: Any) -> Any:
    if case.loss.kind == "squared_error":
        return right(case, f, draws)
    p = f.softmax(dim=-1) if case.loss.kind == "cross_entropy" else f.sigmoid()
    kept = right(case, 2 * f, draws)
    q = (2 * f).softmax(dim=-1) if case.loss.kind == "cross_entropy" else (2 * f).sigmoid()
    return kept - q + p


def _uniform_numbers(right: Any, me: Any, case: Any, *args: Any) -> Any:
    found = right(case, *args)
    return found.clamp(-1, 1) if case.loss.kind == "squared_error" else found**2


def _next_class(right: Any, me: Any, case: Any, f: Any, draws: Any) -> Any:
    if case.loss.kind != "cross_entropy":
        return right(case, f, draws)
    p = f.softmax(dim=-1)
    return p + (right(case, f, draws) - p).roll(1, dims=-1)


def _dropped(right: Any, me: Any, case: Any) -> Any:
    """Inputs as a dropout of a tenth leaves them."""
    x, y = right(case)
    if not x.is_floating_point():
        return x, y
    keep = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.9
    return x * keep.to(x) / 0.9, y


def _unseeded(right: Any, me: Any, *args: Any) -> Any:
    """Another answer at each call, as of sums by threads in a random order, but larger."""
    me.calls = getattr(me, "calls", 0) + 1
    noise = np.random.default_rng(me.calls).standard_normal
    found = right(*args)
    return found * (1 + 1e-9 * noise(found.shape))


def _other_labels_for_lambda(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    return right(case, basis, 0)


FAULTS = (
    Fault(
        "generator-restarts-per-batch", BUG, "factors",
        "the generator starts anew in every batch, so that all batches draw the same labels",
        "numbers", _restarted, conventions=SAMPLED,
    ),
    Fault(
        "seed-ignored", BUG, "factors",
        "the seed is ignored: every seed draws the same labels",
        "numbers", lambda right, me, case, f, place, seed: right(case, f, place, 0),
        conventions=SAMPLED,
    ),
    Fault(
        "one-draw-for-the-batch", BUG, "factors",
        "one random number serves all examples",
        "numbers", _one_for_all(1), conventions=SAMPLED,
    ),
    Fault(
        "one-draw-for-all-tokens", BUG, "factors",
        "one random number serves all tokens of an example",
        "numbers", _one_for_all(2), conventions=SAMPLED,
    ),
    Fault(
        "one-draw-for-all-samples", BUG, "factors",
        "all samples of an example have the same label",
        "numbers", _one_for_all(0), conventions=SEVERAL,
    ),
    Fault(
        "one-draw-for-all-outputs", BUG, "factors",
        "one random number serves all outputs of a token, which should be independent",
        "numbers", _one_for_all(3), conventions=SAMPLED,
    ),
    Fault(
        "samples-not-averaged", BUG, "factors",
        "samples are summed, not averaged",
        "sampled",
        lambda right, me, case, f, draws: right(case, f, draws) * len(draws) ** 0.5,
        conventions=SEVERAL,
    ),
    Fault(
        "labels-from-sharpened-model", BUG, "factors",
        "labels are drawn at temperature one half",
        "sampled", _sharpened, conventions=SAMPLED,
    ),
    Fault(
        "numbers-of-another-law", BUG, "factors",
        "random numbers have the wrong law: squared uniform, or clipped normal ones",
        "numbers", _uniform_numbers, conventions=SAMPLED,
    ),
    Fault(
        "drawn-class-off-by-one", BUG, "factors",
        "drawn classes are off by one",
        "sampled", _next_class, conventions=SAMPLED,
    ),
    Fault(
        "lambda-ignores-seed", BUG, "eigenvalues",
        "Lambda's labels are drawn from a fixed seed, whatever seed is given",
        "eigenvalues", _other_labels_for_lambda, conventions=SAMPLED,
    ),
    Fault(
        "dropout-left-on", BUG, "gradients",
        "the model is left in training mode: dropout acts on the inputs",
        "training", _dropped,
    ),
    Fault(
        "scores-differ-between-calls", BUG, "scores",
        "the same question gets another answer the second time",
        "scores", _unseeded,
    ),
    Fault(
        "products-differ-between-calls", BUG, "gauss_newton",
        "the same product comes out otherwise the second time",
        "gauss_newton", _unseeded,
    ),
    Fault(
        "random-signs-in-response", BUG, "response",
        "retraining starts from perturbed parameters and stops where it gets stuck",
        "response",
        lambda right, me, case, m, epsilon: right(case, m, epsilon)
        + 1e-6 * np.random.default_rng(0).standard_normal(right(case, m, epsilon).shape),
    ),
)  # fmt: skip

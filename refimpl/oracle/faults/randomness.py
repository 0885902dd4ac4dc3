"""Faults of random numbers: seeds, generators, and the laws that labels are drawn from."""

from typing import Any

import numpy as np
import torch

from refimpl.oracle.faults.fault import mistake

SAMPLED = {"fisher": "sampled"}
SEVERAL = {"fisher": "sampled", "samples": 4}


def _one_for_all(right: Any, me: Any, case: Any, f: Any, place: Any, seed: int, *, dim: int) -> Any:
    """Random numbers [samples, n, T, C] of which one serves all along an axis."""
    answer = right(case, f, slice(None) if dim == 1 else place, seed)
    one = answer.narrow(dim, 0, 1)
    shape = list(answer.shape)
    shape[1] = len(f)
    return one.expand(shape)


def _unseeded(right: Any, me: Any, *args: Any) -> Any:
    """Another answer at each call, as of sums by threads in a random order, but larger."""
    me.calls = getattr(me, "calls", 0) + 1
    noise = np.random.default_rng(me.calls).standard_normal
    answer = right(*args)
    return answer * (1 + 1e-9 * noise(answer.shape))


@mistake("factors", edits="numbers", conventions=SAMPLED)
def generator_restarts_per_batch(
    right: Any, me: Any, case: Any, f: Any, place: Any, seed: int
) -> Any:
    """the generator starts anew in every batch, so that all batches draw the same labels"""
    return right(case, f, slice(0, len(f)), seed)


@mistake("factors", edits="numbers", conventions=SAMPLED)
def seed_ignored(right: Any, me: Any, case: Any, f: Any, place: Any, seed: Any) -> Any:
    """the seed is ignored: every seed draws the same labels"""
    return right(case, f, place, 0)


@mistake("factors", edits="numbers", conventions=SAMPLED)
def one_draw_for_the_batch(right: Any, me: Any, case: Any, f: Any, place: Any, seed: int) -> Any:
    """one random number serves all examples"""
    return _one_for_all(right, me, case, f, place, seed, dim=1)


@mistake("factors", edits="numbers", conventions=SAMPLED)
def one_draw_for_all_tokens(right: Any, me: Any, case: Any, f: Any, place: Any, seed: int) -> Any:
    """one random number serves all tokens of an example"""
    return _one_for_all(right, me, case, f, place, seed, dim=2)


@mistake("factors", edits="numbers", conventions=SEVERAL)
def one_draw_for_all_samples(right: Any, me: Any, case: Any, f: Any, place: Any, seed: int) -> Any:
    """all samples of an example have the same label"""
    return _one_for_all(right, me, case, f, place, seed, dim=0)


@mistake("factors", edits="numbers", conventions=SAMPLED)
def one_draw_for_all_outputs(right: Any, me: Any, case: Any, f: Any, place: Any, seed: int) -> Any:
    """one random number serves all outputs of a token, which should be independent"""
    return _one_for_all(right, me, case, f, place, seed, dim=3)


@mistake("factors", edits="sampled", conventions=SEVERAL)
def samples_not_averaged(right: Any, me: Any, case: Any, f: Any, draws: Any) -> Any:
    """samples are summed, not averaged"""
    return right(case, f, draws) * len(draws) ** 0.5


@mistake("factors", edits="sampled", conventions=SAMPLED)
def labels_from_sharpened_model(right: Any, me: Any, case: Any, f: Any, draws: Any) -> Any:
    """labels are drawn at temperature one half"""
    if case.loss.kind == "squared_error":
        return right(case, f, draws)
    p = f.softmax(dim=-1) if case.loss.kind == "cross_entropy" else f.sigmoid()
    pseudo_gradients = right(case, 2 * f, draws)
    q = (2 * f).softmax(dim=-1) if case.loss.kind == "cross_entropy" else (2 * f).sigmoid()
    return pseudo_gradients - q + p


@mistake("factors", edits="numbers", conventions=SAMPLED)
def numbers_of_another_law(right: Any, me: Any, case: Any, *args: Any) -> Any:
    """random numbers have the wrong law: squared uniform, or clipped normal ones"""
    answer = right(case, *args)
    return answer.clamp(-1, 1) if case.loss.kind == "squared_error" else answer**2


@mistake("factors", edits="sampled", conventions=SAMPLED)
def drawn_class_off_by_one(right: Any, me: Any, case: Any, f: Any, draws: Any) -> Any:
    """drawn classes are off by one"""
    if case.loss.kind != "cross_entropy":
        return right(case, f, draws)
    p = f.softmax(dim=-1)
    return p + (right(case, f, draws) - p).roll(1, dims=-1)


@mistake("eigenvalues", edits="eigenvalues", conventions=SAMPLED)
def lambda_ignores_seed(right: Any, me: Any, case: Any, basis: Any, seed: int) -> Any:
    """Lambda's labels are drawn from a fixed seed, whatever seed is given"""
    return right(case, basis, 0)


@mistake("gradients", edits="training")
def dropout_left_on(right: Any, me: Any, case: Any) -> Any:
    """the model is left in training mode: dropout acts on the inputs

    Inputs as a dropout of a tenth leaves them.
    """
    x, y = right(case)
    if not x.is_floating_point():
        return x, y
    keep = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.9
    return x * keep.to(x) / 0.9, y


@mistake("scores", edits="scores")
def scores_differ_between_calls(right: Any, me: Any, *args: Any) -> Any:
    """the same question gets another answer the second time"""
    return _unseeded(right, me, *args)


@mistake("gauss_newton", edits="gauss_newton")
def products_differ_between_calls(right: Any, me: Any, *args: Any) -> Any:
    """the same product comes out otherwise the second time"""
    return _unseeded(right, me, *args)


@mistake("response", edits="response")
def random_signs_in_response(right: Any, me: Any, case: Any, m: Any, epsilon: Any) -> Any:
    """retraining starts from perturbed parameters and stops where it gets stuck"""
    return right(case, m, epsilon) + 1e-6 * np.random.default_rng(0).standard_normal(
        right(case, m, epsilon).shape
    )

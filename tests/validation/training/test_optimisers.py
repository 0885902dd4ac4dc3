"""Training: to a stationary point of the stated objective, the same every time."""

from typing import Any

import pytest
import torch

import refimpl as ri
from validation.data import digit_images
from validation.models.networks import mlp, transformer
from validation.training.optimisers import Trained, train, train_minibatch


def trained(
    iterations: int = 400, newton: int = 0, moved: float = 0.0
) -> tuple[torch.nn.Sequential, Trained]:
    split = digit_images(60, 0, 0)
    model = mlp([64, 4, 10], torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1 + moved
    end = train(
        model,
        ri.losses.CrossEntropy(),
        split.inputs,
        split.targets,
        weight_decay=1e-2,
        iterations=iterations,
        tolerance=1e-6,
        newton=newton,
    )
    return model, end


def test_it_ends_where_the_gradient_of_the_objective_vanishes() -> None:
    split = digit_images(60, 0, 0)
    model, end = trained()
    parameters = list(model.parameters())
    value = torch.nn.functional.cross_entropy(model(split.inputs), split.targets)
    value = value + 0.5e-2 * sum((p**2).sum() for p in parameters)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters)])
    assert value.item() == pytest.approx(end.objective, rel=1e-13)  # the same sums, another order
    assert float(gradient.abs().max()) <= 1e-6
    assert end.gradient_norm == pytest.approx(float(gradient.norm()), rel=1e-6)
    assert end.initial_gradient_norm > 0.1


def test_newton_steps_end_at_the_same_point_from_starts_that_rounding_tells_apart() -> None:
    def end_of(**options: Any) -> tuple[torch.Tensor, Trained]:
        model, end = trained(**options)
        return torch.nn.utils.parameters_to_vector(model.parameters()).detach(), end

    (one, first), (other, second) = (end_of(newton=4, moved=m) for m in (0.0, 1e-13))
    # The gradient is a mean over examples of sums of products: some 100 roundings of numbers of size 1.
    rounding = 100 * torch.finfo(torch.float64).eps / 2 * (1 + 1e-2 * float(one.norm()))
    assert max(first.gradient_norm, second.gradient_norm) <= rounding
    # Two points whose gradients vanish to rounding lie 2 x rounding over the Hessian's least eigenvalue
    # apart; at a minimum with weight decay 1e-2 a tenth of that is a cautious guess of it.
    assert float((one - other).norm()) <= 2 * rounding / 1e-3
    assert float((end_of()[0] - one).norm()) > 1e-7  # L-BFGS alone ends elsewhere


def test_it_is_deterministic_and_leaves_no_gradients() -> None:
    (one, _), (other, _) = trained(30), trained(30)
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.grad is None


def test_iterations_are_limited_and_the_end_says_how_far_it_is() -> None:
    _, early = trained(3)
    _, late = trained()
    assert early.evaluations <= 6
    assert early.gradient_norm > 100 * late.gradient_norm


def test_the_objective_in_pieces_is_the_objective() -> None:
    split = digit_images(60, 0, 0)

    def end(batch_size: int | None) -> Trained:
        model = mlp([64, 4, 10], torch.Generator().manual_seed(0))
        return train(
            model,
            ri.losses.CrossEntropy(),
            split.inputs,
            split.targets,
            weight_decay=1e-2,
            iterations=3,
            batch_size=batch_size,
        )

    whole, pieces = end(None), end(7)
    # sums of 60 terms in another order, through three steps of a well-conditioned beginning
    assert pieces.objective == pytest.approx(whole.objective, rel=1e-11)
    assert pieces.gradient_norm == pytest.approx(whole.gradient_norm, rel=1e-9)
    assert pieces.initial_gradient_norm == pytest.approx(whole.initial_gradient_norm, rel=1e-13)


def minibatch(
    order: int = 0, epochs: int = 30, examples: int = 60, weight_decay: float = 1e-2
) -> tuple[torch.nn.Sequential, Trained]:
    split = digit_images(examples, 0, 0)
    model = mlp([64, 4, 10], torch.Generator().manual_seed(0))
    end = train_minibatch(
        model,
        ri.losses.CrossEntropy(),
        split.inputs,
        split.targets,
        weight_decay=weight_decay,
        epochs=epochs,
        batch_size=16,
        rate=1e-2,
        generator=torch.Generator().manual_seed(order),
    )
    return model, end


def test_minibatch_training_states_the_objective_over_all_examples() -> None:
    split = digit_images(60, 0, 0)
    model, end = minibatch()
    parameters = list(model.parameters())
    value = torch.nn.functional.cross_entropy(model(split.inputs), split.targets)
    value = value + 0.5e-2 * sum((p**2).sum() for p in parameters)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters)])
    # the same sums in another order, of 60 terms
    assert end.objective == pytest.approx(value.item(), rel=1e-13)
    assert end.gradient_norm == pytest.approx(float(gradient.norm()), rel=1e-11)
    assert end.evaluations == 30 * 4  # the last batch of an epoch has 12 examples


def test_minibatch_training_nears_the_minimum_of_the_objective() -> None:
    _, start = minibatch(epochs=1)
    _, end = minibatch(epochs=200)
    _, best = trained()
    assert best.objective < end.objective < best.objective + 0.05
    assert end.gradient_norm < 0.2 * start.gradient_norm


def test_minibatch_training_is_deterministic_in_an_order_of_its_own() -> None:
    before = torch.get_rng_state()
    (one, _), (same, _), (other, _) = minibatch(0), minibatch(0), minibatch(1)
    assert torch.equal(before, torch.get_rng_state())
    for p, q, r in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
        assert not torch.equal(p, r)
        assert p.grad is None


def test_the_step_falls_along_half_a_cosine() -> None:
    # 16 examples are one batch: an epoch is a step
    models = [
        mlp([64, 4, 10], torch.Generator().manual_seed(0)),
        *(minibatch(epochs=epochs, examples=16)[0] for epochs in (1, 2)),
    ]
    start, one, two = (torch.cat([p.detach().flatten() for p in m.parameters()]) for m in models)
    # Adam's first step is the rate in every entry whose gradient its 1e-8 does not drown ...
    assert float((one - start).abs().max()) == pytest.approx(1e-2, rel=1e-4)
    # ... the second of two half of it, by a ratio |m| / sqrt(v) of at most 1.0013 (Cauchy-Schwarz)
    # and of nearly 1 where a pixel is always black, so that weight decay is all of the gradient.
    assert float((two - one).abs().max()) == pytest.approx(0.5e-2, rel=2e-3)


def test_a_transformer_learns_sequences_with_masks() -> None:
    generator = torch.Generator().manual_seed(0)
    model = transformer(5, 8, 2, 1, 8, 6, generator)
    start = torch.randint(0, 5, (40, 1), generator=generator)
    windows = (start + torch.arange(7)) % 5  # counting modulo 5
    mask = torch.arange(6) < torch.randint(2, 7, (40, 1), generator=generator)
    targets = windows[:, 1:].masked_fill(~mask, -100)
    end = train_minibatch(
        model,
        ri.losses.CrossEntropy(),
        (windows[:, :-1], mask),
        targets,
        weight_decay=1e-5,
        epochs=40,
        batch_size=10,
        rate=1e-2,
        generator=generator,
    )
    assert end.objective < 0.1 * float(mask.sum()) / 40  # log 5 = 1.6 a token before
    right = model(windows[:, :-1], mask).argmax(dim=-1) == windows[:, 1:]
    assert bool(right[mask].all())

"""Rungs: what each is fitted to, and where it is left out."""

import pytest
import torch
from strategies import ROUNDOFF as U, rounding_of

import refimpl as ri
from refimpl.problem import memory
from refimpl.rungs.curvatures import APART, BLOCKS, WIDER
from refimpl.rungs.fits import FITS, Fit, Precomputed


def fitted(
    group: str, problem: ri.Problem, precomputed: Precomputed | None = None
) -> dict[str, Fit]:
    return {fit.name: fit for fit in FITS[group](problem, precomputed or Precomputed())}


def classifier(layers: list[str] | None = None) -> ri.Problem:
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3))
    x = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    model = model.double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return ri.Problem(model, ri.losses.CrossEntropy(), x, torch.arange(12) % 3, layers=layers)


def test_eigenvalues_of_tokens_apart_are_those_of_tokens_as_examples() -> None:
    # Without mixing, the cross terms vanish in expectation: apart and together are the same.
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Linear(3, 2).double()
    x = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (4, 5), generator=generator)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    apart = fitted("Kronecker", problem)[APART].curvature
    together = ri.fast.EKFAC(problem)
    gap = (apart.dense() - together.dense()).norm()
    # Sums of 20 squares twice over: a few roundings each, and a turn by bases of 4 and 2.
    assert gap <= 30 * U * 26**0.5 * together.dense().trace()
    # In a layer whose outputs are averaged over tokens, a label moves all of them at once.
    mixing = torch.nn.Sequential(model, Mean(), torch.nn.Linear(2, 2).double())
    mixed = ri.Problem(mixing, ri.losses.CrossEntropy(), x, y)
    apart = fitted("Kronecker", mixed)[APART].curvature
    ours, theirs = apart.eigen["0"][2], ri.fast.EKFAC(mixed).eigen["0"][2]
    assert ours.sum() < 0.9 * theirs.sum()


class Mean(torch.nn.Module):
    """Every token becomes the mean of all."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=1, keepdim=True).expand(x.shape)


def test_blocks_from_the_matrix_are_those_of_a_sweep() -> None:
    problem = classifier()
    matrix = ri.exact.gauss_newton_matrix(problem)
    ours = fitted("Kronecker", problem, Precomputed(matrix=matrix))[BLOCKS].curvature.dense()
    theirs = fitted("Kronecker", problem)[BLOCKS].curvature.dense()
    assert (ours - theirs).norm() <= rounding_of(problem)
    diagonal = fitted("diagonal", problem, Precomputed(matrix=matrix))["diagonal GNH"].curvature
    torch.testing.assert_close(diagonal.dense(), matrix.diagonal().diag())


def test_blocks_too_large_to_hold_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = classifier()
    assert BLOCKS in fitted("Kronecker", problem)
    monkeypatch.setattr(memory, "LAYER_BLOCKS", 15**2 + 12**2 - 1)  # 3 x (4 + 1) and 3 x (3 + 1)
    assert BLOCKS not in fitted("Kronecker", problem)
    monkeypatch.setattr(memory, "LAYER_BLOCKS", 15**2 + 12**2)
    assert BLOCKS in fitted("Kronecker", problem)


def test_all_layers_are_tracked_where_some_were_not() -> None:
    some, whole = classifier(["2"]), classifier()
    fit = fitted("wider", some)[WIDER]
    assert fit.problem.num_parameters == whole.num_parameters
    torch.testing.assert_close(fit.curvature.dense(), ri.exact.gauss_newton_matrix(whole))
    assert fitted("wider", whole) == {}


def test_layers_that_cannot_be_tracked_leave_the_wider_rung_out() -> None:
    first, second, last = (torch.nn.Linear(3, 3).double() for _ in range(3))
    second.weight = first.weight  # tied, but each with a bias of its own
    model = torch.nn.Sequential(first, torch.nn.Tanh(), second, last)
    x = torch.ones(4, 3, dtype=torch.float64)
    problem = ri.Problem(model, ri.losses.SquaredError(), x, x, layers=["3"])
    with pytest.raises(ValueError, match="share a parameter"):
        ri.Problem(model, ri.losses.SquaredError(), x, x)
    assert fitted("wider", problem) == {}


def test_sampled_rungs_are_reproducible_and_approach_ekfac() -> None:
    problem = classifier()
    precomputed = Precomputed(seed=3)
    one, two = (fitted("labels", problem, precomputed) for _ in range(2))
    matrices = {name: fit.curvature.dense() for name, fit in one.items()}
    for name, fit in two.items():
        assert torch.equal(fit.curvature.dense(), matrices[name])
    target = matrices["EK-FAC"]
    assert not one["EK-FAC"].shown  # it is only what the steps from it start at

    def distance(name: str) -> float:
        return float((matrices[name] - target).norm() / target.norm())

    assert distance("EK-FAC, 100 samples") < distance("EK-FAC, 1 sample")

"""A frozen last linear layer narrower than its classes costs no more directions than it is wide."""

import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st
from torch import Tensor, nn

import refimpl as ri
from refimpl.capture import forward_pass
from refimpl.sweeps import sizes

U = torch.finfo(torch.float64).eps / 2


def problem_of(model: nn.Module, classes: int, tokens: int = 1, n: int = 4) -> ri.Problem:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, tokens, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (n, tokens), generator=generator)
    return ri.Problem(model.double(), ri.losses.CrossEntropy(), x, y, layers=["0"])


def stack(width: int, classes: int, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, classes, bias=bias))


@given(st.integers(1, 5), st.integers(2, 9), st.integers(1, 4), st.booleans())
def test_curvatures_are_those_of_the_definition(width, classes, tokens, bias):
    problem = problem_of(stack(width, classes, bias), classes, tokens)
    assert sizes(problem).directions == tokens * min(width, classes - 1)
    # (T C) x P Jacobians: their norm bounds the matrix, and its roundings without cancellation.
    scale = float(ri.exact.jacobian(problem).norm() ** 2) / problem.num_examples
    G = ri.exact.gauss_newton_matrix(problem)
    within((ri.exact.GaussNewton(problem).dense() - G).norm(), 1e-12 * scale, "GNH")
    Q_A, Q_S, eigenvalues = ri.fast.EKFAC(problem).eigen["0"]
    Q = torch.kron(Q_S, Q_A)
    within((torch.diagonal(Q.T @ G @ Q) - eigenvalues.flatten()).norm(), 1e-12 * scale, "Λ")


class InPlace(nn.Sequential):
    """Outputs that are the last layer's tensor, but no longer its numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mul_(2)


class Halved(nn.Linear):
    """A layer that is not its weight times its input."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) / 2


def hooked() -> nn.Module:
    model = stack(2, 6)
    model[2].register_forward_hook(lambda module, args, s: s + args[0].sum(dim=-1, keepdim=True))
    return model


@pytest.mark.parametrize(
    "model",
    [
        InPlace(*stack(2, 6)),
        nn.Sequential(*stack(2, 6)[:2], Halved(2, 6)),
        nn.Sequential(*stack(2, 6), nn.Identity()),
        nn.Sequential(*stack(2, 6), nn.LogSoftmax(dim=-1)),
        hooked(),
    ],
    ids=["changed in place", "another layer", "passed on", "more follows", "hooked"],
)
def test_what_is_not_the_outputs_themselves_is_no_readout(model):
    problem = problem_of(model, 6)
    passed_on = isinstance(model[-1], nn.Identity)  # the very tensor: the same function
    assert (forward_pass(problem, problem.inputs).readout is not None) == passed_on
    G = ri.exact.gauss_newton_matrix(problem)
    scale = float(ri.exact.jacobian(problem).norm() ** 2) / problem.num_examples
    within((ri.exact.GaussNewton(problem).dense() - G).norm(), 1e-12 * scale)


def test_another_derivative_than_its_weight_is_refused():
    model = stack(2, 6)
    # The value is the layer's, its derivative twice that.
    model[2].register_forward_hook(lambda module, args, s: 2 * s - s.detach())
    with pytest.raises(ValueError, match="layer '0' is not"):
        ri.exact.GaussNewton(problem_of(model, 6))

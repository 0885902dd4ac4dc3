"""A frozen last linear layer narrower than its classes costs no more directions than it is wide."""

import math
from collections.abc import Callable

import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import rounding_of
from torch import Tensor, nn

import refimpl as ri
from refimpl import rows
from refimpl.rows.hooks import forward_pass
from refimpl.rows.sweeps import layer_rows

LOSSES = ("cross_entropy", "ignored", "squared_error", "binary")


def problem_of(
    model: nn.Module,
    classes: int,
    tokens: tuple[int, ...] = (),
    loss: str = "cross_entropy",
    layers: tuple[str, ...] = ("0",),
    n: int = 4,
) -> ri.Problem:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, *tokens, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (n, *tokens), generator=generator)
    made: ri.losses.Loss = ri.losses.CrossEntropy()
    if loss == "ignored":
        y[::2] = -100
    elif loss != "cross_entropy":
        y = torch.randint(2, (n, *tokens, classes), generator=generator).double()
        made = (
            ri.losses.SquaredError() if loss == "squared_error" else ri.losses.BinaryCrossEntropy()
        )
    return ri.Problem(model.double(), made, x, y, layers=list(layers))


def stack(width: int, classes: int, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, classes, bias=bias))


def check(problem: ri.Problem) -> None:
    """The structured GNH and EK-FAC's eigenvalues against the definition."""
    rounding = rounding_of(problem)
    G = ri.exact.gauss_newton_matrix(problem)
    within((ri.exact.GaussNewton(problem).dense() - G).norm(), rounding, "GNH")
    ekfac = ri.fast.EKFAC(problem)
    for block in problem.layout.blocks:
        Q_A, Q_S, eigenvalues = ekfac.eigen[block.name]
        Q = torch.kron(Q_S, Q_A)
        diagonal = torch.diagonal(Q.T @ G[block.slice, block.slice] @ Q)
        within((diagonal - eigenvalues.flatten()).norm(), rounding, "Λ")


@given(
    st.integers(1, 5),
    st.integers(2, 9),
    st.sampled_from([(), (1,), (3,), (2, 2)]),
    st.booleans(),
    st.sampled_from(LOSSES),
    st.sampled_from([1, 10_000]),
)
def test_curvatures_are_those_of_the_definition(width, classes, tokens, bias, loss, budget):
    problem = problem_of(stack(width, classes, bias), classes, tokens, loss)
    if loss in ("cross_entropy", "ignored"):
        count = math.prod(tokens)
        assert rows.of(problem).directions == count * min(width, classes - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "refimpl.problem.memory.LAYER_ROWS", budget
        )  # roots of one example at a time, or of all
        check(problem)


def test_the_roots_of_a_batch_are_not_held_at_once(monkeypatch):
    problem = problem_of(stack(2, 50), 50, (3,))
    rows.of(problem)
    two_examples = 2 * 3 * 50 * 50
    monkeypatch.setattr("refimpl.problem.memory.LAYER_ROWS", two_examples)
    asked = []
    honest = type(problem.loss).compact_root
    monkeypatch.setattr(
        type(problem.loss),
        "compact_root",
        lambda loss, f, y: asked.append(len(f)) or honest(loss, f, y),
    )
    list(layer_rows(problem, 4))
    assert asked == [2, 2]


class InPlace(nn.Sequential):
    """Outputs that are the last layer's tensor, but no longer its numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mul_(2)


class Halved(nn.Linear):
    """A layer that is not its weight times its input."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) / 2


class Adapted(nn.Module):
    """An addition in place that changes no number as long as the adapter is zero: LoRA's start."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head, self.b = nn.Linear(3, 2), nn.Linear(2, 6), nn.Linear(3, 6, bias=False)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor) -> Tensor:
        f = self.head(torch.tanh(self.a(x)))
        f += self.b(x)
        return f


class Squares(nn.Linear):
    """A layer that is called with half of what it multiplies, and by a name of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.cat([x, x**2], dim=-1))


class Named(nn.Module):
    """A last layer called by the name of its argument."""

    def __init__(self, head: nn.Linear, name: str) -> None:
        super().__init__()
        self.first, self.head, self.name = nn.Linear(3, 2), head, name

    def forward(self, x: Tensor) -> Tensor:
        return self.head(**{self.name: torch.tanh(self.first(x))})


class Twice(nn.Module):
    """A last layer that is called twice: only its last call makes the outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(3, 2), nn.Linear(2, 6)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        return self.head(h + self.head(h)[..., :2])


def hooked(change: Callable[[Tensor], Tensor]) -> nn.Module:
    model = stack(2, 6)
    model[2].register_forward_hook(lambda module, args, s: change(s))
    return model


@pytest.mark.parametrize(
    ("model", "layers", "there"),
    [
        (InPlace(*stack(2, 6)), ["0"], False),
        (Adapted(), ["a", "b"], False),
        (nn.Sequential(*stack(2, 6)[:2], Halved(2, 6)), ["0"], False),
        (Named(Squares(4, 6), "x"), ["first"], False),
        (Named(nn.Linear(2, 6), "input"), ["first"], True),
        (Twice(), ["first"], True),
        (nn.Sequential(*stack(2, 6), nn.Identity()), ["0"], True),
        (nn.Sequential(*stack(2, 6), nn.LogSoftmax(dim=-1)), ["0"], False),
        (hooked(lambda s: s + s.sum(dim=-1, keepdim=True)), ["0"], False),
        (hooked(lambda s: 2 * s - s.detach()), ["0"], False),
        (stack(6, 6), ["0"], False),
    ],
    ids=[
        "changed in place",
        "a zero adapter",
        "another layer",
        "another layer's argument",
        "called by name",
        "called twice",
        "passed on",
        "more follows",
        "hooked",
        "another derivative",
        "as wide as its classes",
    ],
)
def test_only_a_narrow_frozen_layer_that_makes_the_outputs_is_a_readout(model, layers, there):
    problem = problem_of(model, 6, (), layers=tuple(layers))
    assert (forward_pass(problem, problem.inputs).readout is not None) == there
    check(problem)

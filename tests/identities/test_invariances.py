"""What a change of coordinates, of order or of precision may not change (identities 17 and 20)."""

import copy

import torch
from evidence import within
from hypothesis import assume, given, strategies as st
from strategies import problems, scale_of, vectors
from torch import Tensor, nn

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


def with_matrices(problem: ri.Problem, matrices: dict[str, Tensor]) -> nn.Module:
    """A copy of the model whose tracked matrices [W | b] are the given ones."""
    model = copy.deepcopy(problem.model)
    named = problem.layout.named(problem.layout.flatten(matrices))
    model.load_state_dict({**model.state_dict(), **named})
    return model


@given(problems(depth=(2, 3), width=(2, 4), examples=(8, 16), tokens=(0, 0), losses=("squared_error",),
                activations=("tanh",), bias=True, classes=(1, 3)), st.integers(0, 1000))  # fmt: skip
def test_17_the_undamped_kfac_step_does_not_see_a_linear_map_of_the_outputs(problem, seed):
    generator = torch.Generator().manual_seed(seed)
    first = problem.layout.blocks[0]
    size = first.outputs
    T = torch.eye(size).double()
    T += 0.3 * torch.randn(size, size, generator=generator, dtype=torch.float64)
    assume(float(torch.linalg.cond(T)) < 100)
    # [W | b] -> T [W | b], and a frozen T^-1 behind it: the same function.
    theta = dict(problem.layout.matrices(problem.parameters))
    model = with_matrices(problem, theta | {first.name: T @ theta[first.name]})
    back = nn.Linear(size, size, bias=False).double()
    with torch.no_grad():
        back.weight.copy_(torch.linalg.inv(T))
    head, *rest = model
    moved = ri.Problem(
        nn.Sequential(head, back, *rest),
        problem.loss,
        problem.inputs,
        problem.targets,
        layers=["0"],
    )
    steps, condition = [], 1.0
    for one in (problem, moved):
        A, S = ri.fast.KFAC(one).factors["0"]
        conditions = float(torch.linalg.cond(A)), float(torch.linalg.cond(S))
        assume(max(conditions) < 1e6)
        condition = max(condition, *conditions)
        g = one.layout.matrices(one.gradients().mean(dim=0))["0"]
        steps.append(torch.linalg.solve(S, g) @ torch.linalg.inv(A))
    # A step in the moved coordinates is T times the step. Two solves, each with the condition number.
    within((torch.linalg.inv(T) @ steps[1] - steps[0]).norm(),
           1e3 * U * condition**2 * steps[0].norm() + 1e-12)  # fmt: skip


def permuted(problem: ri.Problem, rng) -> tuple[ri.Problem, Tensor]:
    """The problem with the first layer's units reordered, and where its entries stood."""
    one, two = problem.layout.blocks[:2]
    order = list(range(one.outputs))
    rng.shuffle(order)
    columns = [*order, one.outputs] if two.bias else order
    theta = dict(problem.layout.matrices(problem.parameters))
    theta[one.name], theta[two.name] = theta[one.name][order], theta[two.name][:, columns]
    moved = ri.Problem(with_matrices(problem, theta), problem.loss, problem.inputs, problem.targets)
    places = dict(problem.layout.matrices(torch.arange(problem.num_parameters)[None].double()))
    places[one.name] = places[one.name][:, order]
    places[two.name] = places[two.name][:, :, columns]
    return moved, problem.layout.flatten(places)[0].long()


@given(problems(depth=(2, 3), width=(2, 6), examples=(1, 8), tokens=(0, 3)), st.randoms())
def test_permuting_hidden_units_permutes_the_curvature(problem, rng):
    moved, old = permuted(problem, rng)
    scale = scale_of(problem)
    for kind in (ri.exact.GaussNewton, ri.fast.KFAC, ri.fast.Diagonal, ri.fast.BlockDiagonal):
        before, after = kind(problem).dense(), kind(moved).dense()
        within((after - before[old][:, old]).norm(), 1e3 * U * scale, kind.__name__)


# Many examples to few units: factors of full rank, or (softmax) of a single zero eigenvalue. Squared
# error's own S is the identity, whose eigenbasis is anybody's.
@given(problems(depth=(2, 3), width=(2, 3), examples=(12, 20), tokens=(0, 3), classes=(2, 3),
                activations=("tanh", "softplus"), losses=("cross_entropy", "binary"), ignored=False),
       st.randoms())  # fmt: skip
def test_permuting_hidden_units_leaves_the_scores_of_ekfac(problem, rng):
    # EK-FAC's bases are those of the factors alone, up to signs, where eigenvalues are apart.
    ekfac = ri.fast.EKFAC(problem)
    gap = min(
        float(torch.linalg.eigvalsh(M).diff().min() / M.norm())
        for factors in ekfac.factors.values()
        for M in factors
        if len(M) > 1
    )
    assume(gap > 1e-7)
    moved, _ = permuted(problem, rng)
    data = problem.inputs, problem.targets
    scores = ri.influence(problem, *data, curvature=ekfac, damping=0.1)
    again = ri.influence(moved, *data, curvature=ri.fast.EKFAC(moved), damping=0.1)
    size = problem.gradients().norm() ** 2 / 0.1
    # Davis-Kahan: bases turn by a few u ||A|| / gap, and the solve adds its condition number.
    kappa = 1 + scale_of(problem) / 0.1
    within((scores - again).norm(), 10 * U / gap * kappa * size + U, "EK-FAC scores")


@given(problems(examples=(1, 8)), st.sampled_from([1e-3, 0.1, 10.0]))
def test_20_scores_of_the_training_examples_among_themselves_are_symmetric(problem, damping):
    data = problem.inputs, problem.targets
    size = problem.gradients().norm() ** 2 / damping
    kappa = 1 + scale_of(problem) / damping
    for kind in (ri.exact.GaussNewton, ri.fast.KFAC, ri.fast.EKFAC):
        scores = ri.influence(problem, *data, curvature=kind(problem), damping=damping)
        within((scores - scores.T).norm(), 1e3 * U * kappa * size + U, kind.__name__)
        within(scores.diagonal(), 1e3 * U * kappa * size + U, "self-influence above zero")


@given(problems(depth=(1, 3), width=(1, 6), examples=(1, 8), tokens=(0, 3)))
def test_float32_gives_what_float64_gives_to_its_own_rounding(problem):
    # The same numbers in both: those that float32 can hold.
    theta = problem.parameters.float().double()
    model = with_matrices(problem, dict(problem.layout.matrices(theta)))
    y = problem.targets
    y = y.float().double() if y.is_floating_point() else y
    x = problem.inputs.float().double()
    wide = ri.Problem(model, problem.loss, x, y)
    narrow = ri.Problem(model, problem.loss, x, y, dtype=torch.float32)
    slack = 1e3 * torch.finfo(torch.float32).eps / 2 * scale_of(wide)
    for kind in (ri.exact.GaussNewton, ri.fast.KFAC, ri.fast.Diagonal):
        exact, rounded = kind(wide).dense(), kind(narrow).dense()
        assert rounded.dtype == torch.float32
        within((rounded.double() - exact).norm(), slack, kind.__name__)
    assert ri.fast.EKFAC(narrow).eigen[wide.layout.blocks[0].name][2].dtype == torch.float32
    traces = [
        sum(float(L.double().sum()) for _, _, L in ri.fast.EKFAC(p).eigen.values())
        for p in (wide, narrow)
    ]
    within(abs(traces[0] - traces[1]), slack, "trace of Λ")


@given(problems(examples=(1, 8)), st.floats(-3, 3))
def test_solves_are_linear_in_the_right_hand_side(problem, factor):
    b, c = vectors(problem, 2)
    kappa = 1 + scale_of(problem) / 0.1
    for kind in (ri.exact.GaussNewton, ri.fast.KFAC, ri.fast.EKFAC, ri.fast.BlockDiagonal):
        solve = kind(problem).solve(torch.stack([b, c, b + factor * c]), 0.1)
        x, y, both = solve.value
        size = (b.norm() + abs(factor) * c.norm()) / 0.1
        within((x + factor * y - both).norm(), 1e3 * U * kappa * size, kind.__name__)

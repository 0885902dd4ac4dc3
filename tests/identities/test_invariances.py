"""What a change of coordinates, of order or of precision may not change (identity 17)."""

import copy

import torch
from evidence import within
from hypothesis import assume, given, strategies as st
from strategies import problems, scale_of
from torch import Tensor, nn

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


def with_matrices(problem: ri.Problem, matrices: dict[str, Tensor]) -> nn.Module:
    """A copy of the model whose tracked matrices [W | b] are the given ones."""
    model = copy.deepcopy(problem.model)
    named = problem.layout.named(problem.layout.flatten(matrices))
    model.load_state_dict({**model.state_dict(), **named})
    return model


# Few units to many examples, so that the layer's factors may have full rank; where they have not
# (a softmax's last layer), the step has no inverse to be made of.
NARROW = {
    "depth": (2, 3),
    "width": (2, 3),
    "classes": (2, 3),
    "activations": ("tanh", "softplus"),
    "ignored": False,
}
WELL = problems(examples=(10, 16), tokens=(0, 0), bias=True, **NARROW)


def undamped_step(problem: ri.Problem, layer: str) -> tuple[Tensor, float]:
    """S^-1 (mean gradient) A^-1 of a layer, and how far its roundings may reach."""
    A, S = ri.fast.KFAC(problem).factors[layer]
    conditions = float(torch.linalg.cond(A)), float(torch.linalg.cond(S))
    assume(all(c < 1e6 for c in conditions))  # NaN is that of a zero matrix
    gradients = problem.layout.matrices(problem.gradients())[layer]
    step = torch.linalg.solve(S, gradients.mean(dim=0)) @ torch.linalg.inv(A)
    # Relative errors of S, A and the gradient, each of some dozens of u, through both inverses.
    size = gradients.norm(dim=(1, 2)).mean() / (
        torch.linalg.eigvalsh(S)[0] * torch.linalg.eigvalsh(A)[0]
    )
    return step, 1e3 * U * (sum(conditions) * float(step.norm()) + float(size))


def affine(size: int, generator: torch.Generator) -> Tensor:
    """An invertible affine map in homogeneous coordinates, [size + 1, size + 1]."""
    T = torch.eye(size + 1).double()
    T[:-1] += 0.3 * torch.randn(size, size + 1, generator=generator, dtype=torch.float64)
    assume(float(torch.linalg.cond(T)) < 100)
    return T


def frozen(T: Tensor) -> nn.Linear:
    """The affine map as a layer."""
    layer = nn.utils.skip_init(nn.Linear, len(T) - 1, len(T) - 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(T[:-1, :-1])
        layer.bias.copy_(T[:-1, -1])
    return layer


@given(WELL, st.integers(0, 2), st.booleans(), st.integers(0, 1000))
def test_17_the_undamped_kfac_step_does_not_see_an_affine_map_of_inputs_or_outputs(
    problem, chosen, of_inputs, seed
):
    block = problem.layout.blocks[min(chosen, len(problem.layout.blocks) - 1)]
    generator = torch.Generator().manual_seed(seed)
    theta = problem.layout.matrices(problem.parameters)[block.name]
    at = int(block.name)
    before, own, after = problem.model[:at], problem.model[at], problem.model[at + 1 :]
    own = copy.deepcopy(own)
    if of_inputs:  # a -> T a before the layer, which then is [W | b] T^-1: the same function
        T = affine(block.inputs - 1, generator)
        moved, layers = theta @ torch.linalg.inv(T), (*before, frozen(T), own, *after)
    else:  # [W | b] -> T [W | b], shifted, and T^-1 behind it
        T = affine(block.outputs, generator)
        moved, layers = T[:-1, :-1] @ theta, (*before, own, frozen(torch.linalg.inv(T)), *after)
        moved[:, -1] += T[:-1, -1]
    with torch.no_grad():
        own.weight.copy_(moved[:, :-1])
        own.bias.copy_(moved[:, -1])
    name = str(at + of_inputs)
    other = ri.Problem(
        nn.Sequential(*layers), problem.loss, problem.inputs, problem.targets, layers=[name]
    )
    assert other.layout.blocks[0].name == name
    scale = problem.outputs().abs().max() + 1
    within((other.outputs() - problem.outputs()).abs().max(), 1e5 * U * scale, "same function")
    step, slack = undamped_step(problem, block.name)
    turned, slack_turned = undamped_step(other, name)
    # A step in the moved coordinates is the step times T^-1, or T times the step.
    back = turned @ T if of_inputs else torch.linalg.inv(T[:-1, :-1]) @ turned
    reach = float(torch.linalg.cond(T)) * float(torch.linalg.matrix_norm(T, 2))
    within((back - step).norm(), slack + reach * slack_turned)


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
FULL_RANK = problems(examples=(12, 20), tokens=(0, 3), losses=("cross_entropy", "binary"), **NARROW)


@given(FULL_RANK, st.randoms())
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

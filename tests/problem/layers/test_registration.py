"""A layer type of one's own, added from outside the package, is treated as every other."""

import copy
from collections.abc import Mapping

import torch
from hypothesis import given, strategies as st
from strategies import rounding_of, vectors
from torch import Tensor, nn

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


class Transposed(nn.Module):
    """A linear layer that stores its weight as [inputs, outputs], as the Conv1D of GPT-2 does."""

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.randn(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight if self.bias is None else x @ self.weight + self.bias


@ri.register_layer(Transposed)
class TransposedLayer(ri.Layer):
    """s = a W + b."""

    by_token = True

    def matrix(self, weight: Tensor) -> Tensor:
        return weight.mT.unsqueeze(-3)

    def weight(self, matrix: Tensor) -> Tensor:
        return matrix.squeeze(-3).mT

    def input_rows(self, a: Tensor) -> Tensor:
        return a.reshape(len(a), 1, -1, a.shape[-1])

    def output_rows(self, s: Tensor, a: Tensor) -> Tensor:
        return s.reshape(len(s), 1, -1, s.shape[-1])


@st.composite
def twins(draw: st.DrawFn) -> tuple[ri.Problem, ri.Problem]:
    """A problem of transposed layers and Linears, and the same function of Linears alone."""
    torch.manual_seed(draw(st.integers(0, 2**31 - 1)))
    widths = [draw(st.integers(1, 4)) for _ in range(draw(st.integers(2, 4)))]
    parts: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        kind = Transposed if draw(st.booleans()) or not parts else nn.Linear
        parts += [kind(inputs, outputs, bias=draw(st.booleans())), nn.Tanh()]
    transposed = nn.Sequential(*parts[:-1]).double()
    plain = nn.Sequential(*map(as_linear, transposed))
    lead = (draw(st.integers(1, 4)), *draw(st.lists(st.integers(1, 3), max_size=1)))
    x = torch.randn(*lead, widths[0]).double()
    y = torch.randint(widths[-1], lead)
    y = torch.where(torch.rand(lead) < 0.2, -100, y) if len(lead) > 1 else y
    loss = ri.losses.CrossEntropy()
    return ri.Problem(transposed, loss, x, y), ri.Problem(plain, loss, x, y)


def as_linear(module: nn.Module) -> nn.Module:
    if not isinstance(module, Transposed):
        return copy.deepcopy(module)
    inputs, outputs = module.weight.shape
    linear = nn.Linear(inputs, outputs, bias=module.bias is not None).double()
    with torch.no_grad():
        linear.weight.copy_(module.weight.T)
        if module.bias is not None:
            linear.bias.copy_(module.bias)
    return linear


@given(twins())
def test_the_flat_vector_is_the_linear_ones_and_survives_the_round_trips(pair):
    problem, plain = pair
    assert torch.equal(problem.parameters, plain.parameters)
    assert problem.layout.blocks == plain.layout.blocks
    flat = vectors(problem, 2)
    named = problem.layout.named(flat)
    for name, parameter in problem.model.named_parameters():
        assert named[name].shape == (2, *parameter.shape)
    assert torch.equal(problem.layout.from_named(named), flat)
    assert torch.equal(problem.layout.flatten(problem.layout.matrices(flat)), flat)


@given(twins())
def test_gradients_are_autograds(pair):
    problem, _ = pair
    model, names = (
        copy.deepcopy(problem.model).requires_grad_(),
        dict(problem.model.named_parameters()),
    )
    for n, gradient in enumerate(problem.gradients()):
        value = problem.loss.value(model(problem.inputs[n : n + 1]), problem.targets[n : n + 1])[0]
        parts = torch.autograd.grad(value, list(model.parameters()), materialize_grads=True)
        expected = problem.layout.from_named(dict(zip(names, parts, strict=True)))
        # some hundred products of a few factors, summed in two orders
        assert (gradient - expected).norm() <= 1e3 * U * expected.norm()


@given(twins())
def test_every_curvature_is_that_of_the_linear_twin_and_the_exact_one_its_definition(pair):
    problem = pair[0]
    G, slack = ri.exact.gauss_newton_matrix(problem), rounding_of(problem)
    for method in ("primal", "dual"):
        structured = ri.exact.GaussNewton(problem, method=method)
        assert (
            structured.apply(vectors(problem, 2)) - vectors(problem, 2) @ G
        ).norm() <= 100 * slack
    assert (ri.exact.GaussNewton(problem).dense() - G).norm() <= slack
    for sharing in ("expand", "reduce"):
        kfac = [ri.fast.KFAC(p, weight_sharing=sharing) for p in pair]
        for name, factors in kfac[0].factors.items():
            for factor, linear in zip(factors, kfac[1].factors[name], strict=True):
                size = float(linear.norm()) + slack
                assert (factor - linear).norm() <= 100 * U * size * (1 + len(factor))
    factor, linear = (ri.fast.EKFAC(p, factors=kfac[1].factors).dense() for p in pair)
    assert (factor - linear).norm() <= 10 * slack


class Scaled(nn.Module):
    """Each feature times a scale of its own, plus a shift: parameters that form no matrix."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = (nn.Parameter(torch.randn(width)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.shift


@ri.register_layer(Scaled)
class ScaledLayer(ri.Layer):
    """A block [n, 1]: its input is 1, and its output's gradient is that in the parameters themselves."""

    names = ("scale", "shift")

    def matrices(self, parameters: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([parameters["scale"], parameters["shift"]], dim=-1)[..., None, :, None]

    def parameters(self, matrices: Tensor) -> dict[str, Tensor]:
        scale, shift = matrices[..., 0, :, 0].chunk(2, dim=-1)
        return {"scale": scale, "shift": shift}

    def input_rows(self, a: Tensor) -> Tensor:
        return a.new_ones(len(a), 1, 1, 1)

    def output_rows(self, s: Tensor, a: Tensor) -> Tensor:
        g = s.unflatten(0, (-1, len(a)))
        slopes = torch.cat([g * a, g], dim=-1).flatten(0, 1)
        return slopes.reshape(len(s), 1, -1, slopes.shape[-1]).sum(dim=2, keepdim=True)


@given(st.integers(1, 4), st.integers(0, 3), st.integers(1, 3))
def test_parameters_without_a_matrix_are_a_block_of_one_column(examples, tokens, width):
    lead = (examples, tokens) if tokens else (examples,)
    model = nn.Sequential(Scaled(width), nn.Tanh(), nn.Linear(width, 2)).double()
    x, y = torch.randn(*lead, width).double(), torch.randn(*lead, 2).double()
    problem = ri.Problem(model, ri.losses.SquaredError(), x, y)
    block = problem.layout.blocks[0]
    assert (block.outputs, block.inputs, block.bias) == (2 * width, 1, False)
    G, slack = ri.exact.gauss_newton_matrix(problem), rounding_of(problem)
    assert (ri.exact.GaussNewton(problem).dense() - G).norm() <= slack
    # A = [1], and S is the block itself: K-FAC has no error there.
    S = ri.fast.KFAC(problem).factors["0"][1]
    assert (S - G[block.slice, block.slice]).norm() <= slack

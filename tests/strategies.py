"""Random problems for property-based tests: shapes, layers, losses, tokens, data.

hypothesis draws the structure and a seed; the seed makes weights and data, so that a shrunk example
is a small structure and not a list of floats.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import refimpl as ri

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "relu": nn.ReLU,
    "identity": nn.Identity,
}
SMOOTH = ("tanh", "softplus", "identity")
ROUNDOFF = torch.finfo(torch.float64).eps / 2
LOSSES = ("cross_entropy", "squared_error", "binary")


@contextmanager
def python_random_untouched() -> Iterator[None]:
    """Restore Python's `random`: beartype picks the list items that it checks with it."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


class TokenMixing(nn.Module):
    """A fixed causal average over tokens: x_t becomes the mean of x_1 .. x_t."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.shape[-2]
        weights = torch.ones(tokens, tokens, dtype=x.dtype).tril()
        return (weights / weights.sum(dim=1, keepdim=True)) @ x


def mlp(widths: list[int], *, bias: bool, activation: str, mixing: bool = False) -> nn.Module:
    """A multilayer perceptron; with `mixing`, tokens are averaged after every activation."""
    parts: list[nn.Module] = []
    for i, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        parts.append(nn.Linear(before, after, bias=bias))
        if i < len(widths) - 2:
            parts.append(ACTIVATIONS[activation]())
            if mixing:
                parts.append(TokenMixing())
    return nn.Sequential(*parts)


def randomise(model: nn.Module, generator: torch.Generator, scale: float = 1.0) -> nn.Module:
    """Fill the parameters with normal numbers of variance scale^2 / fan-in; returns the model."""
    model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise * scale / fan_in**0.5)
    return model


def targets_for(
    loss: str, shape: tuple[int, ...], generator: torch.Generator, *, ignored: float = 0.0
) -> Tensor:
    """Random targets for outputs of the shape [N, *tokens, C]; a share of labels may be ignored."""
    if loss == "cross_entropy":
        labels = torch.randint(shape[-1], shape[:-1], generator=generator)
        hidden = torch.rand(shape[:-1], generator=generator) < ignored
        return torch.where(hidden, torch.full_like(labels, -100), labels)
    if loss == "squared_error":
        return torch.randn(shape, generator=generator, dtype=torch.float64)
    return torch.rand(shape, generator=generator, dtype=torch.float64).round()


def loss_for(
    name: str, classes: int, generator: torch.Generator, *, options: bool
) -> ri.losses.Loss:
    """A loss; with `options`, class weights and smoothing, or a weight of positives."""
    if name == "squared_error":
        return ri.losses.SquaredError()
    weight = 0.5 + torch.rand(classes, generator=generator, dtype=torch.float64)
    if name == "binary":
        return ri.losses.BinaryCrossEntropy(pos_weight=weight if options else None)
    if options:
        return ri.losses.CrossEntropy(weight=weight, label_smoothing=0.1)
    return ri.losses.CrossEntropy()


@st.composite
def problems(
    draw: st.DrawFn,
    *,
    losses: tuple[str, ...] = LOSSES,
    activations: tuple[str, ...] = tuple(ACTIVATIONS),
    depth: tuple[int, int] = (1, 4),
    width: tuple[int, int] = (1, 12),
    examples: tuple[int, int] = (1, 16),
    tokens: tuple[int, int] = (0, 6),
    classes: tuple[int, int] = (1, 8),
    mixing: bool = True,
    options: bool = True,
    bias: bool | None = None,
    ignored: bool = True,
    dtype: torch.dtype = torch.float64,
) -> ri.Problem:
    """A random MLP problem; `tokens` 0 stands for no token axis.

    Args:
        draw: hypothesis's.
        losses: Losses to draw from.
        activations: Activations to draw from.
        depth: Least and greatest number of linear layers.
        width: Least and greatest width of inputs and hidden layers.
        examples: Least and greatest N.
        tokens: Least and greatest T.
        classes: Least and greatest C.
        mixing: Whether tokens may be mixed between layers.
        options: Whether losses may have weights and smoothing.
        bias: Whether layers have a bias; None: drawn.
        ignored: Whether some labels may be ignored.
        dtype: Precision of the problem.
    """
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    layers = draw(st.integers(*depth))
    widths = [draw(st.integers(*width)) for _ in range(layers)] + [draw(st.integers(*classes))]
    t = draw(st.integers(*tokens))
    n = draw(st.integers(*examples))
    model = mlp(
        widths,
        bias=draw(st.booleans()) if bias is None else bias,
        activation=draw(st.sampled_from(activations)),
        mixing=t > 0 and mixing and draw(st.booleans()),
    )
    randomise(model, generator)
    name = draw(st.sampled_from(losses))
    lead = (n, t) if t else (n,)
    share = draw(st.sampled_from([0.0, 0.3])) if ignored else 0.0
    with_options = options and draw(st.booleans())
    # A mean other than zero, so that A is not nearly the identity.
    inputs = 0.5 + torch.randn(*lead, widths[0], generator=generator, dtype=torch.float64)
    targets = targets_for(name, (*lead, widths[-1]), generator, ignored=share)
    with python_random_untouched():
        loss = loss_for(name, widths[-1], generator, options=with_options)
        return ri.Problem(model, loss, inputs, targets, dtype=dtype)


def scale_of(problem: ri.Problem) -> float:
    """omega ||J||^2 / N, which bounds the GNH's norm and its roundings without cancellation."""
    weight = float(problem.loss.weights(problem.outputs(), problem.targets).max())
    return weight * float(ri.exact.jacobian(problem).norm() ** 2) / problem.num_examples + ROUNDOFF


def relative_rounding(problem: ri.Problem) -> float:
    """Roundings of sums over the data in an orthonormal basis, over the sum of magnitudes.

    Entries are sums of K = N T C products of a few factors each, and a turn sums at most P more: some
    sqrt(K + P) u (Higham & Mary 2019); 30 for the factors and the constants.
    """
    return 30 * ROUNDOFF * (problem.outputs().numel() + problem.num_parameters) ** 0.5


def rounding_of(problem: ri.Problem) -> float:
    """What the roundings of G, or of its diagonal in an orthonormal basis, may come to."""
    return relative_rounding(problem) * scale_of(problem)


def vectors(problem: ri.Problem, count: int, seed: int = 0) -> Tensor:
    """Random vectors [count, P] in the problem's dtype."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, problem.num_parameters)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(problem.parameters)

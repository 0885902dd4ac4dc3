"""Models with torch's own attention: its fused kernels have no derivatives, or no second ones."""

import pytest
import torch
from evidence import within
from torch import Tensor, nn

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


class Encoder(nn.Module):
    """One of torch's Transformer layers, whose fast path is taken where nothing requires a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.layer = nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(x)))


class MultiHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.mix = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        return self.head(h + self.mix(h, h, h, need_weights=False)[0])


class Fused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x).unflatten(-1, (2, 2)).transpose(1, 2)
        h = nn.functional.scaled_dot_product_attention(h, h, h, is_causal=True)
        return self.head(h.transpose(1, 2).flatten(2))


def problem(kind: type[nn.Module]) -> ri.Problem:
    torch.manual_seed(0)
    model, x = kind(), torch.randn(5, 3, 3, dtype=torch.float64)
    return ri.Problem(
        model,
        ri.losses.CrossEntropy(),
        x,
        torch.arange(15).reshape(5, 3) % 2,
        layers=["embed", "head"],
    )


@pytest.mark.parametrize("kind", [Encoder, MultiHead, Fused])
def test_gradients_curvatures_and_responses_are_those_of_the_plain_formula(kind) -> None:
    p = problem(kind)
    fast = torch.backends.mha.get_fastpath_enabled()
    g = p.gradients()
    for n in range(5):
        theta = p.parameters.clone().requires_grad_()
        loss = p.loss.value(p.outputs(p.inputs[n : n + 1], theta), p.targets[n : n + 1]).sum()
        (alone,) = torch.autograd.grad(loss, theta)
        # Sums over 3 tokens and at most 5 units, a few of them in a row.
        within((g[n] - alone).norm(), 100 * U * alone.norm())
    G = ri.exact.gauss_newton_matrix(p)
    within((ri.exact.GaussNewton(p).dense() - G).norm(), 1e-12 * G.norm())
    assert torch.backends.mha.get_fastpath_enabled() == fast
    response = ri.exact.bregman_response(p, [0], epsilon=0.1, damping=0.1, quasi_newton_trials=1)
    assert bool(
        response.certificate.converged.all()
    )  # by Newton steps, which take second derivatives


class Asks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.second(h if h.requires_grad else h.detach())


@pytest.mark.parametrize(
    "ask",
    [
        lambda p: p.gradients(),
        lambda p: ri.fast.KFAC(p),
        lambda p: ri.exact.bregman_response(p, [0], epsilon=0.1, damping=0.1),
        lambda p: ri.exact.retrain(p, torch.ones(1, 5).double()),
    ],
    ids=["gradients", "K-FAC", "response", "retrain"],
)
def test_a_forward_that_asks_for_requires_grad_is_refused(ask) -> None:
    torch.manual_seed(0)
    p = ri.Problem(Asks(), ri.losses.CrossEntropy(), torch.randn(5, 3), torch.arange(5) % 2)
    with pytest.raises(ValueError, match=r"gradient is another one under torch\.func\.vmap"):
        ask(p)

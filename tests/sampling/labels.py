"""Exact moments of quadratic probes of sampled factors, by running through all labels.

Nothing here comes from refimpl.rows.hooks or from a loss's own scores: the label distributions, the
weights omega and the gradients in the outputs are written down again, the layers' gradients are
Jacobians. A probe is z^T K z for the vector z of an example's gradient in its outputs at drawn labels
(all tokens, all classes) and a positive semidefinite K [D, D] of the example. Units are therefore
examples and never tokens: where tokens mix, the gradient at a position depends on all of its labels.
"""

from dataclasses import dataclass

import torch
from sampling.bands import SHARE
from torch import Tensor, nn

import refimpl as ri
from refimpl.oracle.truth.concentration import bernstein, laurent_massart


def omega(problem: ri.Problem) -> Tensor:
    """The weight of each label [N, tokens] (binary: [N, tokens x C]), from docs/conventions.md."""
    loss, y = problem.loss, problem.targets
    if isinstance(loss, ri.losses.BinaryCrossEntropy):
        w = 1.0 if loss.pos_weight is None else loss.pos_weight
        return torch.where(y == 1, torch.as_tensor(w).double().expand_as(y), 1.0).flatten(1)
    classes = problem.outputs().shape[-1]
    w = torch.ones(classes).double() if loss.weight is None else loss.weight
    mean = w.mean()
    own = w[y.clamp(min=0)]
    s = loss.label_smoothing
    return torch.where(y == loss.ignore_index, 0.0, (1 - s) * own + s * mean).reshape(len(y), -1)


def all_gradients(problem: ri.Problem) -> tuple[Tensor, Tensor]:
    """Output gradients z [N, Y, D] at each of the Y label vectors, and their probabilities [N, Y]."""
    f = problem.outputs()
    if isinstance(problem.loss, ri.losses.BinaryCrossEntropy):
        f = f.reshape(len(f), -1, 1)
        p = torch.stack([1 / (1 + f.exp()), 1 / (1 + (-f).exp())], dim=-1)[:, :, 0]  # [N, D, 2]
        labels = torch.tensor([0.0, 1.0]).double()[:, None]  # labels b, one coordinate
    else:
        f = f.reshape(len(f), -1, f.shape[-1])
        p = f.exp() / f.exp().sum(dim=-1, keepdim=True)  # [N, T, C]
        labels = torch.eye(f.shape[-1]).double()
    scale = omega(problem).sqrt()[:, :, None, None]
    z = scale * ((p @ labels)[:, :, None] - labels)  # mean label less label, one row per label
    n, tokens, classes, _ = z.shape
    choices = torch.cartesian_prod(*[torch.arange(classes)] * tokens).reshape(-1, tokens)
    which = torch.arange(tokens)
    return z[:, which, choices].reshape(n, len(choices), -1), p[:, which, choices].prod(dim=-1)


@dataclass(frozen=True)
class Moments:
    """Of Q probes, for one unit of an example drawn at random: mean, variance within examples [Q]."""

    mean: Tensor
    variance: Tensor
    scale: Tensor  # b of Bernstein, b' of Laurent and Massart
    gaussian: bool

    def band(self, count: int) -> Tensor:
        """How far the mean over `count` units may lie from the truth [Q]."""
        if self.gaussian:
            return laurent_massart(self.variance / 2, self.scale, count, SHARE)
        return bernstein(self.variance, self.scale, count, SHARE)


def moments(problem: ri.Problem, forms: Tensor) -> Moments:
    """Mean, variance and scale of the probes with the forms K [Q, N, D, D]."""
    if isinstance(problem.loss, ri.losses.SquaredError):
        mean = forms.diagonal(dim1=-2, dim2=-1).sum(dim=-1).mean(dim=1)
        variance = 2 * (forms**2).sum(dim=(-2, -1)).mean(dim=1)
        return Moments(mean, variance, torch.linalg.eigvalsh(forms).amax(dim=(1, 2)), True)
    z, probability = all_gradients(problem)
    values = ((forms @ z.mT) * z.mT).sum(dim=-2)  # [Q, N, Y]
    means = (values * probability).sum(dim=-1)
    away = values - means[..., None]
    variance = (away**2 * probability).sum(dim=-1).mean(dim=1)
    return Moments(means.mean(dim=1), variance, away.abs().amax(dim=(1, 2)), False)


def position_jacobians(problem: ri.Problem) -> dict[str, Tensor]:
    """Jacobians of the outputs in each position's pre-activations [N, D, R, O], by block."""
    layers = [m for m in problem.model if isinstance(m, nn.Linear)]

    def outputs(shifts: list[Tensor], x: Tensor) -> Tensor:
        remaining = iter(shifts)
        for module in problem.model:
            x = module(x)
            if isinstance(module, nn.Linear):
                x = x + next(remaining)
        return x.flatten()

    lead = problem.inputs.shape[1:-1]
    shifts = [torch.zeros(*lead, m.out_features).double() for m in layers]
    each = torch.func.vmap(torch.func.jacrev(outputs), in_dims=(None, 0))(shifts, problem.inputs)
    return {
        block.name: G.reshape(*G.shape[:2], -1, G.shape[-1])
        for block, G in zip(problem.layout.blocks, each, strict=True)
    }


def forms_of_s(G: Tensor, u: Tensor, sharing: str) -> Tensor:
    """K of the probes u^T S u and of the trace of S, [U + 1, N, D, D], for G [N, D, R, O], u [U, O]."""
    if sharing == "reduce":
        G = G.sum(dim=2, keepdim=True)
    along = torch.einsum("ndro,uo->undr", G, u)
    trace = G.flatten(2)
    return torch.cat([along @ along.mT, (trace @ trace.mT)[None]])


def forms_of_eigenvalues(
    J: Tensor, Q_A: Tensor, Q_S: Tensor, entries: list[tuple[int, int]]
) -> Tensor:
    """K of some entries of Lambda and of its sum, [E + 1, N, D, D], for Jacobians J [N, D, O, I]."""
    turned = Q_S.mT @ J @ Q_A
    along = torch.stack([turned[..., i, j] for i, j in entries])[..., None]
    total = turned.flatten(2)
    return torch.cat([along @ along.mT, (total @ total.mT)[None]])

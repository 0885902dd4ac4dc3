"""Responses of the pipeline: the proximal Bregman objective, minimised by Newton steps."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from refimpl.oracle.pipeline.layout import Layout
from refimpl.oracle.pipeline.loss import as_tokens
from refimpl.oracle.pipeline.passes import groups_of
from refimpl.oracle.question.case import Case
from refimpl.oracle.subject.adapter import Unsupported

__all__ = ["Retraining", "derivatives"]


class Retraining(Layout):
    """Minimises mean_n D(f, f_s) + epsilon l_m + lambda/2 ||theta - theta_s||^2 from theta_s."""

    steps = 60
    tolerance = 1e-11  # of the gradient's norm, relative to its first

    def tracked(self, case: Case, model: nn.Module) -> list[nn.Parameter]:
        """Weight and bias of every tracked layer, in order."""
        modules = [model.get_submodule(name) for name in case.tracked]
        parameters = [dict(m.named_parameters(recurse=False)) for m in modules]
        return [named[kind] for named in parameters for kind in ("weight", "bias") if kind in named]

    def divergence(
        self, case: Case, f: Float[Tensor, "n T C"], start: Float[Tensor, "n T C"], y: Tensor
    ) -> Float[Tensor, " n"]:
        """D(f, f_s) = l(f) - l(f_s) - <grad l(f_s), f - f_s> (Grosse et al. 2023, eq. 7)."""
        slope = (self.loss_gradient(case, start, y) * (f - start)).flatten(1).sum(dim=1)
        return self.losses(case, f, y) - self.losses(case, start, y) - slope

    def proximity(
        self, damping: float, theta: Float[Tensor, " P"], start: Float[Tensor, " P"]
    ) -> Float[Tensor, ""]:
        """The damping term."""
        return damping / 2 * ((theta - start) ** 2).sum()

    def objective(
        self, case: Case, model: nn.Module, example: int, epsilon: float
    ) -> Callable[[], Float[Tensor, ""]]:
        """The objective as a function of the model's current parameters, theta_s being those now."""
        x, y = self.training(case)
        parameters = self.tracked(case, model)
        start = torch.cat([p.detach().clone().flatten() for p in parameters])
        f_start = as_tokens(model(x).detach())

        def value() -> Float[Tensor, ""]:
            f = as_tokens(model(x))
            theta = torch.cat([p.flatten() for p in parameters])
            loss = self.losses(case, f[example, None], y[example, None])[0]
            fit = self.divergence(case, f, f_start, y).sum() / case.num_examples
            return fit + epsilon * loss + self.proximity(case.damping, theta, start)

        return value

    def newton_step(self, g: Float[Tensor, " P"], H: Float[Tensor, "P P"]) -> Float[Tensor, " P"]:
        """-|H|^-1 g: a descent direction wherever H is indefinite, Newton's where it is not."""
        w, Q = torch.linalg.eigh(H)
        size = w.abs().clamp(min=1e-12 * float(w.abs().max()))
        return -Q @ ((Q.T @ g) / size)

    def minimiser(self, case: Case, example: int, epsilon: float) -> dict[str, Tensor]:
        """The matrix [W | b] of every block at the minimiser."""
        model = self.module(case)
        parameters = self.tracked(case, model)
        value = self.objective(case, model, example, epsilon)
        first, g = 0.0, torch.zeros(0)
        for step in range(self.steps):
            now, g, H = derivatives(value(), parameters)
            first = float(g.norm()) if step == 0 else first
            # Parameters rounded to u are the same as a gradient that is off by u |H| |theta|.
            size = torch.cat([p.detach().flatten() for p in parameters]).norm() * H.norm()
            if float(g.norm()) <= max(self.tolerance * first, 2**-53 * float(size)):
                break
            if not _search(value, parameters, self.newton_step(g, H), float(now), 1e-3):
                # Past a ReLU's kink the objective is another one, which the gradient may avoid.
                _search(value, parameters, -g / H.norm(), float(now), 1e-8)
        else:
            if float(g.norm()) > 1e-4 * first:
                raise Unsupported("no minimiser of this objective was found: it may lie in a kink")
        return self.current(case, model)

    def current(self, case: Case, model: nn.Module) -> dict[str, Tensor]:
        """The matrix [W | b] of every block of a model."""
        matrices: dict[str, Tensor] = {}
        for layer in case.tracked:
            module = model.get_submodule(layer)
            parameters = module.named_parameters(recurse=False)  # the weight, then the bias
            whole = torch.cat([p.detach().reshape(len(p), -1) for _, p in parameters], dim=1)
            names = self.names(layer, groups_of(module))
            matrices |= dict(zip(names, whole.chunk(len(names)), strict=True))
        return matrices


def derivatives(
    value: Float[Tensor, ""], parameters: list[nn.Parameter]
) -> tuple[Tensor, Float[Tensor, " P"], Float[Tensor, "P P"]]:
    """Value, gradient and Hessian in the parameters.

    Args:
        value: With its graph.
        parameters: The parameters, in the order of the flat vector [P].
    """
    g = torch.cat([d.flatten() for d in torch.autograd.grad(value, parameters, create_graph=True)])
    rows = torch.autograd.grad(
        g, parameters, torch.eye(len(g)).to(g), is_grads_batched=True, materialize_grads=True
    )
    H = torch.cat([r.flatten(1) for r in rows], dim=1)
    return value.detach(), g.detach(), (H + H.T) / 2


@torch.no_grad()
def _search(
    value: Callable[[], Tensor],
    parameters: list[nn.Parameter],
    step: Float[Tensor, " P"],
    now: float,
    least: float,
) -> bool:
    """Move by the step, halved until the objective rises by rounding at most; else not at all."""
    noise = 1e-14 * (1 + abs(now))
    parts = step.split([p.numel() for p in parameters])
    moves = [m.view_as(p) for m, p in zip(parts, parameters, strict=True)]
    start = [p.clone() for p in parameters]
    length = 1.0
    while length > least:
        for p, s, m in zip(parameters, start, moves, strict=True):
            p.copy_(s + length * m)
        if float(value()) <= now + noise:
            return True
        length /= 2
    for p, s in zip(parameters, start, strict=True):
        p.copy_(s)
    return False

"""(d) Proximal Bregman responses: the batched solver beside Adam, to the same gradient norm."""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from refimpl import exact
from refimpl.problem.problem import Problem
from validation.bench.measure import timed
from validation.bench.problems import perceptron
from validation.parts.study import Config, Earlier, Part, Study

__all__ = ["BENCH", "adam"]

CONFIG: Config = {
    "device": "cpu",
    "clock": "wall",
    "examples": 1000,
    "sizes": [64, 24, 10],
    "iterations": 300,
    "responses": 64,
    "singles": 3,
    "damping": 1e-3,
    "tolerance": 1e-8,  # that of `bregman_response`
    "rates": [1e-2, 3e-3, 1e-3, 3e-4],
    "steps": [1000, 3000, 10000],
}
QUICK: Config = {
    "examples": 30,
    "sizes": [16, 4, 10],
    "responses": 4,
    "singles": 1,
    "damping": 1e-1,
    "tolerance": 1e-3,
    "rates": [1e-3],
    "steps": [3000],
}


def parts(config: Config) -> list[Part]:
    """Adam at each rate and length on one response, then refimpl beside the best of them on more."""
    tried = [
        Part(f"adam/{rate:g}/{steps}", attempt, options={"rate": rate, "steps": steps})
        for rate in config["rates"]
        for steps in config["steps"]
    ]
    names = tuple(part.name for part in tried)
    return [*tried, Part("beside", beside, needs=names)]


def trained_problem(config: Config) -> Problem:
    """The trained perceptron of the configuration."""
    sizes, examples = config["sizes"], config["examples"]
    device, iterations = config["device"], config["iterations"]
    return perceptron(sizes, examples, 0, device=device, iterations=iterations).problem


def adam(
    problem: Problem,
    example: int,
    *,
    epsilon: float,
    damping: float,
    rate: float,
    tolerance: float,
    steps: int,
) -> tuple[Float[Tensor, " P"], float, int]:
    """The usual way: full-batch Adam on the proximal Bregman objective of one example (softmax).

    The step falls from `rate` to nothing along half a cosine, since at a fixed rate Adam ends
    in a ball around the minimiser whose size is the rate's.

    Args:
        problem: The problem; its parameters are the start.
        example: m.
        epsilon: Its weight.
        damping: lambda.
        rate: The first step.
        tolerance: Stop at this share of the first gradient norm.
        steps: At most so many.

    Returns:
        Parameters, the gradient norm relative to the first, and the steps taken.
    """
    targets, inputs = problem.targets, problem.inputs
    start = {n: p.clone() for n, p in problem.layout.named(problem.parameters).items()}
    theta = {n: p.clone().requires_grad_() for n, p in start.items()}
    reference = problem.outputs().softmax(dim=-1)
    optimiser = torch.optim.Adam(list(theta.values()), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    first = 0.0
    taken, relative = 0, 1.0
    for taken in range(steps + 1):
        optimiser.zero_grad()
        outputs = functional_call(problem.model, theta, (inputs,))
        example_loss = F.cross_entropy(outputs[example], targets[example])
        distance = torch.stack([((theta[n] - p) ** 2).sum() for n, p in start.items()]).sum()
        # KL(p_s || p) but for a constant, as one writes it who needs the gradient alone.
        divergence = F.cross_entropy(outputs, reference)
        (divergence + epsilon * example_loss + damping / 2 * distance).backward()
        norm = float(
            torch.stack([p.grad.norm() for p in theta.values() if p.grad is not None]).norm()
        )
        first = first or norm
        relative = norm / first
        if relative <= tolerance or taken == steps:
            break
        optimiser.step()
        schedule.step()
    parameters = problem.layout.from_named({n: p.detach() for n, p in theta.items()})
    return parameters, relative, taken


def _adam(config: Config, problem: Problem, example: int) -> Any:
    settings = {name: config[name] for name in ("damping", "rate", "tolerance", "steps")}
    return adam(problem, example, epsilon=1 / problem.num_examples, **settings)


def attempt(config: Config, _: Earlier) -> dict[str, Any]:
    """Adam at one rate and length on one response."""
    problem = trained_problem(config)
    seconds, (_, relative, taken) = timed(lambda: _adam(config, problem, 0), config)
    settings = {"rate": config["rate"], "steps": config["steps"]}
    return {"settings": settings, "seconds": seconds, "relative": relative, "taken": taken}


def best(tried: Sequence[dict[str, Any]], tolerance: float) -> dict[str, Any]:
    """The quickest attempt that reached the tolerance, else the one that came nearest.

    Args:
        tried: From `attempt`, one for each setting.
        tolerance: The relative gradient norm to reach.
    """
    arrived = [t for t in tried if t["relative"] <= tolerance]
    if arrived:
        return min(arrived, key=lambda t: t["seconds"])
    return min(tried, key=lambda t: t["relative"])


def beside(config: Config, earlier: Earlier) -> dict[str, Any]:
    """Both to one relative gradient norm: ours many at a time, Adam one after the other."""
    problem, tolerance = trained_problem(config), config["tolerance"]
    chosen = best([result.values for result in earlier.values()], tolerance)["settings"]
    examples = range(config["responses"])

    settings = {"epsilon": 1 / problem.num_examples, "damping": config["damping"]}

    def ours() -> exact.Response:
        return exact.bregman_response(problem, examples, tolerance=tolerance, **settings)

    response = ours()  # libraries loaded
    response.certificate.require()
    many = [timed(ours, config)[0] for _ in range(5)]
    ones: list[float] = []
    reached: list[float] = []
    apart: list[float] = []
    for example in range(config["singles"]):
        seconds, (theta, relative, _) = timed(
            lambda m=example: _adam({**config, **chosen}, problem, m), config
        )
        ones.append(seconds)
        reached.append(relative)
        moved = response.parameters[example] - problem.parameters
        apart.append(float((theta - response.parameters[example]).norm() / moved.norm()))
    return {
        "parameters": problem.num_parameters,
        "responses": len(examples),
        "seconds": {"refimpl": many, "Adam": ones},
        "settings": chosen,
        "relative": float(response.certificate.relative_gradient_norm.max()),
        "relative_adam": max(reached),
        "difference": max(apart),
        "steps": float(response.certificate.iterations.double().mean()),
    }


BENCH = Study("responses", sys.modules[__name__], CONFIG, QUICK, parts, lambda *_: {})

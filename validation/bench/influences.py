"""(b) Exact influences of all training examples on all queries: primal, dual, iterative, over P."""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl import exact
from refimpl.scores.examples import influence
from validation.bench.dense import name_of
from validation.bench.measure import BUDGET, REPEATS, peak_memory, product_rate, timed
from validation.bench.problems import perceptron
from validation.parts.study import Config, Earlier, Part, Study

__all__ = ["BENCH", "growth"]

CONFIG: Config = {
    "device": "cpu",
    "clock": "wall",
    "examples": 1000,
    "queries": 100,
    "damping": 1e-3,
    "routes": {
        "primal": [[784, 2, 2, 10], [784, 8, 8, 10], [784, 25, 13, 10]],
        "dual": [
            *([784, width, width, 10] for width in (2, 8)),
            [784, 25, 13, 10],
            *([784, width, width, 10] for width in (96, 320, 1024, 1873)),
        ],
        "iterative": [
            *([784, width, width, 10] for width in (2, 8)),
            [784, 25, 13, 10],
            [784, 96, 96, 10],
        ],
    },
    "product": 4096,
}
QUICK: Config = {
    "examples": 30,
    "queries": 4,
    "routes": {
        "primal": [[16, 4, 10], [16, 8, 10]],
        "dual": [[16, 4, 10], [16, 8, 10]],
        "iterative": [[16, 4, 10]],
    },
    "product": 64,
}


def parts(config: Config) -> list[Part]:
    """One a route and size; every one is a process of its own, so that its peak is its own."""
    return [
        Part(f"{route}/{name_of(sizes)}", scores, options={"route": route, "sizes": sizes})
        for route, all_sizes in config["routes"].items()
        for sizes in all_sizes
    ]


def scores(config: Config, _: Earlier) -> dict[str, Any]:
    """Seconds from the trained model to all scores, the worst backward error, and the memory."""
    device, damping = config["device"], config["damping"]
    trained = perceptron(config["sizes"], config["examples"], config["queries"], device=device)
    problem, errors = trained.problem, []

    class Watched(exact.GaussNewton):
        """Collects the backward errors of its solves."""

        def solve(self, vectors: Float[Tensor, "*k P"], damping: float) -> Any:
            solution = super().solve(vectors, damping)
            errors.append(float(solution.certificate.backward_error.max()))
            return solution

    def run() -> Float[Tensor, "Q N"]:
        curvature = Watched(problem, config["route"])
        split = trained.split
        return influence(
            problem, split.query_inputs, split.query_targets, curvature=curvature, damping=damping
        )

    peak, (first, scored) = peak_memory(lambda: timed(run, config), device)
    seconds = repeated_within_budget(run, first, config)
    return {
        "parameters": problem.num_parameters,
        "seconds": seconds,
        "backward_error": max(errors),
        "peak": peak,
        # What the answer is made of, whatever the route: scores, and a vector [P] a query.
        "output": 8 * (scored.numel() + len(scored) * problem.num_parameters),
        "estimate": {
            c.method: {"flops": c.flops, "bytes": c.bytes}
            for c in exact.costs(problem, vectors=config["queries"])
        }[config["route"]],
        "rate": product_rate(config["product"], torch.float64, config),
        "probe": probe(scored),
    }


def repeated_within_budget(run: Callable[[], Any], first: float, config: Config) -> list[float]:
    """Time `REPEATS` runs, or as many as fit `BUDGET` seconds; a first run that is long counts."""
    if first > BUDGET / 2:
        return [first]
    count = min(REPEATS, max(1, int(BUDGET / first)))
    return [timed(run, config)[0] for _ in range(count)]


def probe(scores: Float[Tensor, "Q N"]) -> list[float]:
    """A few sums of the scores, by which routes are compared across their processes."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(scores.shape[1], 4, generator=generator, dtype=torch.float64)
    return [float(v) for v in (scores @ weights.to(scores)).norm(dim=0)]


def growth(parameters: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent b of seconds ~ P^b, by least squares of the logarithms.

    Args:
        parameters: P of each measurement.
        seconds: Its seconds.
    """
    x = [math.log(p) for p in parameters]
    y = [math.log(s) for s in seconds]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return above / sum((a - mx) ** 2 for a in x)


BENCH = Study("influences", sys.modules[__name__], CONFIG, QUICK, parts, lambda *_: {})

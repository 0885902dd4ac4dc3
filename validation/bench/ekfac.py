"""(c) EK-FAC: its fit, its damped solves and its pairwise scores, beside curvlinops and kronfluence."""

import sys
from functools import partial
from typing import Any

import torch

from refimpl import fast
from refimpl.curvature.curvature import Curvature
from refimpl.scores.examples import influence, scores_of
from refimpl.scores.low_rank import low_rank_scores, reduce_rank
from validation.bench import libraries
from validation.bench.measure import peak_memory, product_rate, side_by_side
from validation.bench.problems import TrainedModel, perceptron
from validation.parts.study import Config, Earlier, Part, Study

__all__ = ["BENCH"]

CONFIG: Config = {
    "device": "cpu",
    "clock": "wall",
    "examples": 1797,
    "queries": 50,
    "sizes": [64, 256, 256, 10],
    "damping": 1e-3,
    "product": 3000,
    "ranks": [8, 16, 32],
    "batch_sizes": [256, 1797],  # of kronfluence: as first measured, and all at once
}
QUICK: Config = {
    "examples": 40,
    "queries": 4,
    "sizes": [16, 8, 10],
    "product": 64,
    "ranks": [1, 8],
    "batch_sizes": [16, 40],
}

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def parts(config: Config) -> list[Part]:
    """Each in both precisions."""
    works = {
        "exact": exact_fisher,
        "sampled": sampled_fisher,
        "scores": scores,
        "low-rank": batched,
        "memory": memory,
    }
    return [
        Part(f"{name}/{dtype}", work, options={"dtype": dtype})
        for name, work in works.items()
        for dtype in DTYPES
    ]


def _trained_model(config: Config) -> TrainedModel:
    sizes, examples, queries = config["sizes"], config["examples"], config["queries"]
    dtype, device = DTYPES[config["dtype"]], config["device"]
    return perceptron(sizes, examples, queries, dtype=dtype, device=device)


def exact_fisher(config: Config, _: Earlier) -> dict[str, Any]:
    """Fits and damped solves beside curvlinops, labels' expectation in closed form on both sides."""
    trained, damping = _trained_model(config), config["damping"]
    ours = fast.EKFAC(trained.problem)
    theirs = libraries.curvlinops_ekfac(trained, "type-2")
    vectors = trained.problem.gradients(trained.split.query_inputs, trained.split.query_targets)
    order = libraries.curvlinops_order(trained)
    columns = torch.empty_like(vectors)
    columns[:, order] = vectors  # in their order
    columns = columns.T.contiguous()
    inverse = libraries.curvlinops_inverse(theirs, damping)
    fit = side_by_side(
        {
            "refimpl": partial(fast.EKFAC, trained.problem),
            "curvlinops": partial(libraries.curvlinops_ekfac, trained, "type-2"),
        },
        config,
    )
    solve = side_by_side(
        {
            "refimpl": lambda: ours.solve(vectors, damping),
            "refimpl, no certificate": lambda: ours.solve_uncertified(vectors, damping),
            "curvlinops": lambda: inverse @ columns,
        },
        config,
    )
    x = ours.solve(vectors, damping).value
    return {
        "parameters": trained.problem.num_parameters,
        "fit": fit,
        "solve": solve,
        "solve_bound": solve_operations(trained) / _rate(config),
        "difference": float(((inverse @ columns).T[:, order] - x).norm() / x.norm()),
        "condition": _condition(ours, damping),
    }


def sampled_fisher(config: Config, _: Earlier) -> dict[str, Any]:
    """Fits with one sampled label an example, beside kronfluence, which draws its own."""
    trained = _trained_model(config)
    contenders: dict[str, Any] = {"refimpl": partial(fast.EKFAC, trained.problem, fisher="sampled")}
    with libraries.kronfluence_fits(trained, config["batch_sizes"], empirical=False) as fitted:
        contenders |= {f"kronfluence, batch {k.batch_size}": k.fit for k in fitted}
        return {"fit": side_by_side(contenders, config)}


def scores(config: Config, _: Earlier) -> dict[str, Any]:
    """All pairs beside kronfluence, both with the data's own labels: the same answer."""
    trained, damping = _trained_model(config), config["damping"]
    ours = fast.EKFAC(trained.problem, fisher="empirical")

    def score() -> torch.Tensor:
        split = trained.split
        return influence(
            trained.problem,
            split.query_inputs,
            split.query_targets,
            curvature=ours,
            damping=damping,
        )

    with libraries.kronfluence_fits(trained, config["batch_sizes"], empirical=True) as fitted:
        for k in fitted:
            k.fit()
        contenders = {
            f"kronfluence, batch {k.batch_size}": partial(k.scores, damping) for k in fitted
        }
        seconds = side_by_side({"refimpl": score, **contenders}, config)
        theirs = fitted[0].scores(damping).to(config["device"])
    own_scores = score()
    # Every pair of a query and an example multiplies P numbers; both are rotated before.
    pairs = 2.0 * own_scores.numel() * trained.problem.num_parameters
    blocks = trained.problem.layout.blocks
    rotation = 2.0 * sum(own_scores.shape) * sum(b.outputs**2 + b.inputs**2 for b in blocks)
    return {
        "seconds": seconds,
        "seconds_bound": (rotation + pairs) / _rate(config),
        "difference": float(
            (theirs + own_scores).norm() / own_scores.norm()
        ),  # theirs have the other sign
        "condition": _condition(ours, damping),
    }


def batched(config: Config, _: Earlier) -> dict[str, Any]:
    """Products of solved queries with all examples, whole and in low rank, and the error of the latter."""
    trained = _trained_model(config)
    problem = trained.problem
    queries = problem.gradients(trained.split.query_inputs, trained.split.query_targets)
    solved = fast.EKFAC(problem).solve(queries, config["damping"]).value
    narrow = {str(rank): reduce_rank(problem, solved, rank) for rank in config["ranks"]}
    contenders = {rank: partial(low_rank_scores, problem, few) for rank, few in narrow.items()}
    truth = scores_of(problem, solved)
    return {
        "seconds": side_by_side(
            {"refimpl": partial(scores_of, problem, solved), **contenders}, config
        ),
        "compression": side_by_side(
            {rank: partial(reduce_rank, problem, solved, int(rank)) for rank in narrow}, config
        ),
        "error": {r: float((c() - truth).norm() / truth.norm()) for r, c in contenders.items()},
    }


def solve_operations(trained: TrainedModel) -> float:
    """Multiplications and additions of the solves: into the eigenbasis and back, block by block."""
    each = sum(
        4 * b.outputs * b.inputs * (b.outputs + b.inputs) for b in trained.problem.layout.blocks
    )
    return float(len(trained.split.query_inputs) * each)


def _rate(config: Config) -> float:
    return product_rate(config["product"], DTYPES[config["dtype"]], config)


def memory(config: Config, _: Earlier) -> dict[str, Any]:
    """The peak memory of a fit and the scores, and what they must hold."""
    trained, device, damping = _trained_model(config), config["device"], config["damping"]
    split, problem = trained.split, trained.problem

    def run() -> torch.Tensor:
        curvature = fast.EKFAC(problem)
        return influence(
            problem, split.query_inputs, split.query_targets, curvature=curvature, damping=damping
        )

    peak, scored = peak_memory(run, device)
    number = problem.parameters.element_size()
    factors = sum(2 * (b.inputs**2 + b.outputs**2) for b in problem.layout.blocks)
    # The scores, a vector [P] a query, the factors with their eigenvectors, Lambda.
    output = scored.numel() + (len(scored) + 1) * problem.num_parameters + factors
    return {"peak": peak, "output": number * output}


def _condition(curvature: Curvature, damping: float) -> float:
    """The condition number of the damped matrix: rounding moves answers by about u times this."""
    return (curvature.spectrum()[1] + damping) / damping


BENCH = Study("ekfac", sys.modules[__name__], CONFIG, QUICK, parts, lambda *_: {})

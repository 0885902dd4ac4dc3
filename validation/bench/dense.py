"""(a) The dense Gauss-Newton matrix: structured, by definition, by curvlinops, as one product."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from refimpl import exact
from refimpl.exact.assembly import assemble
from refimpl.exact.definition import jacobian, output_hessian
from refimpl.exact.estimates import costs
from validation.bench import libraries
from validation.bench.measure import multiply, peak_memory, product_rate, side_by_side, timed
from validation.bench.problems import TrainedModel, perceptron
from validation.parts.study import Config, Earlier, Part, Study

__all__ = ["BENCH"]

CONFIG: Config = {
    "device": "cpu",
    "clock": "wall",
    "examples": 1797,
    "sizes": [[64, 32, 10], [64, 64, 10], [64, 128, 10], [64, 128, 64, 10]],
    "beside": [[64, 32, 10], [64, 64, 10]],  # where the others finish within minutes
    "columns": [64, 241, 1205],  # of the identity at once, for curvlinops
    "product": 4096,
    "directions": 16,
}
QUICK: Config = {
    "examples": 40,
    "sizes": [[16, 4, 10], [16, 8, 10]],
    "beside": [[16, 4, 10]],
    "columns": [20, 118],
    "product": 64,
    "directions": 3,
}


def name_of(sizes: Sequence[int]) -> str:
    """64-32-10."""
    return "-".join(map(str, sizes))


def parts(config: Config) -> list[Part]:
    """Alone and for its memory at every size, beside the others where they can follow."""
    works = [
        (name, work, sizes)
        for sizes in config["sizes"]
        for name, work in (("alone", alone), ("memory", memory))
    ]
    works += [("beside", beside, sizes) for sizes in config["beside"]]
    return [Part(f"{n}/{name_of(s)}", work, options={"sizes": s}) for n, work, s in works]


def _trained_model(config: Config) -> TrainedModel:
    return perceptron(config["sizes"], config["examples"], 0, device=config["device"])


def operations(trained: TrainedModel) -> float:
    """Multiplications and additions of the structured assembly."""
    primal = costs(trained.problem, vectors=0)[0]
    return primal.flops - trained.problem.num_parameters**3 / 3


def alone(config: Config, _: Earlier) -> dict[str, Any]:
    """Structured assembly beside one matrix product of as many operations, and its error."""
    trained = _trained_model(config)
    problem, flops = trained.problem, operations(trained)
    product = multiply(flops, config["examples"], torch.float64, config["device"])
    seconds = side_by_side({"structured": lambda: assemble(problem), "product": product}, config)
    return {
        "parameters": problem.num_parameters,
        "flops": flops,
        "rate": product_rate(config["product"], torch.float64, config),
        "seconds": seconds,
        "error": error(trained, config["directions"]),
    }


def error(trained: TrainedModel, directions: int) -> float:
    """||(G - G_definition) V||_F / ||G_definition V||_F for random V, without another dense matrix.

    Args:
        trained: Model and data.
        directions: Columns of V.
    """
    problem = trained.problem
    generator = torch.Generator().manual_seed(0)
    V = torch.randn(problem.num_parameters, directions, generator=generator, dtype=torch.float64)
    V = V.to(problem.device)
    G = assemble(problem) @ V
    J, H = jacobian(problem), output_hessian(problem)
    truth = J.flatten(0, 1).T @ (H @ (J @ V)).flatten(0, 1) / problem.num_examples
    return float((G - truth).norm() / truth.norm())


def memory(config: Config, _: Earlier) -> dict[str, Any]:
    """The peak memory of the assembly, and the size of its matrix."""
    trained = _trained_model(config)
    peak, matrix = peak_memory(partial(assemble, trained.problem), config["device"])
    return {"parameters": len(matrix), "peak": peak, "output": 8 * matrix.numel()}


def beside(config: Config, _: Earlier) -> dict[str, Any]:
    """Structured assembly beside the definition and curvlinops in its best chunks of columns."""
    trained = _trained_model(config)
    problem = trained.problem
    libraries.curvlinops_ggn(trained, problem.num_parameters // 10)
    tried = {
        columns: timed(partial(libraries.curvlinops_ggn, trained, columns), config)[0]
        for columns in config["columns"]
    }
    columns = min(tried, key=lambda c: tried[c])
    seconds = side_by_side(
        {
            "structured": partial(assemble, problem),
            "definition": partial(exact.gauss_newton_matrix, problem),
            "curvlinops": partial(libraries.curvlinops_ggn, trained, columns),
        },
        config,
    )
    truth = exact.gauss_newton_matrix(problem)
    order = libraries.curvlinops_order(trained)
    theirs = libraries.curvlinops_ggn(trained, columns)[order][:, order]
    norm = truth.norm()
    return {
        "parameters": problem.num_parameters,
        "columns": columns,
        "tried": {str(c): s for c, s in tried.items()},
        "seconds": seconds,
        "error": float((assemble(problem) - truth).norm() / norm),
        "error_curvlinops": float((theirs - truth).norm() / norm),
    }


BENCH = Study("dense", sys.modules[__name__], CONFIG, QUICK, parts, lambda *_: {})

"""Generate the released vectors anew: python -m validation.proved.vectors DIR.

Besides those that refimpl computes in float64, a few whose outputs are proved: enclosures by ball
arithmetic of micro problems, of which the midpoints are the outputs.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refimpl.oracle.cases import all_cases
from refimpl.oracle.cases.cookbook import recorded
from refimpl.oracle.checks.check import worst
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.loss import LossSpec
from refimpl.oracle.vectors import Vector, write
from refimpl.oracle.vectors.generate import (
    U,
    arguments_of,
    basis_of,
    outputs_of,
    packed,
    vector,
)
from refimpl.oracle.vectors.refusals import licensed, refused
from validation.proved import arb_solves
from validation.proved.arb_mlp import Enclosure, enclose
from validation.proved.balls import (
    DIGITS,
    column_slice,
    exact_balls,
    midpoints,
    radii,
    working_precision,
)
from validation.proved.problems import PROBLEMS, MicroProblem

__all__ = ["PROVED", "all_vectors", "micro_case", "proved_vector", "release"]

# Name in PROBLEMS of each proved vector, and the flags that say what it shows.
PROVED: dict[str, tuple[str, tuple[str, ...]]] = {
    "proved/tanh-cross-entropy": (
        "tanh, cross_entropy, one hidden layer, bias",
        ("NonZeroMeanInput",),
    ),
    "proved/tanh-squared-error": (
        "tanh, squared_error, one hidden layer, no bias",
        ("NoBias", "SquaredError"),
    ),
    "proved/softplus-cross-entropy": (
        "softplus, cross_entropy, one hidden layer, no bias",
        ("NoBias", "NonZeroMeanInput"),
    ),
    "proved/softplus-squared-error": (
        "softplus, squared_error, one hidden layer, bias",
        ("SquaredError",),
    ),
    "proved/saturated-softmax": ("saturated softmax", ("SaturatedSoftmax",)),
}


def micro_case(id: str, problem: MicroProblem, flags: tuple[str, ...]) -> Case:
    """A micro problem as an oracle's case, with the same numbers."""
    layers: list[dict[str, Any]] = []
    parameters: dict[str, Array] = {}
    for i, matrix in enumerate(problem.matrices, start=1):
        name = f"fc{i}"
        layers += [{"op": "linear", "name": name, "bias": problem.bias}, {"op": problem.activation}]
        parameters[f"{name}.weight"] = matrix[:, :-1].copy() if problem.bias else matrix.copy()
        if problem.bias:
            parameters[f"{name}.bias"] = matrix[:, -1].copy()
    layers.pop()
    names = tuple(layer["name"] for layer in layers if layer["op"] == "linear")
    return Case(
        id,
        tuple(layers),
        parameters,
        names,
        problem.inputs.copy(),
        problem.targets.copy(),
        problem.query_inputs.copy(),
        problem.query_targets.copy(),
        LossSpec(problem.loss),
        problem.damping,
        flags,
    )


def proved_vector(id: str) -> Vector:
    """A vector whose outputs are the midpoints of enclosures.

    Scales are refimpl's; eigenvalues of factors and EK-FAC's scores, which depend on an eigensolver,
    are left out.
    """
    name, flags = PROVED[id]
    problem = next(p for p in PROBLEMS if p.name == name)
    case = micro_case(id, problem, flags)
    arguments = arguments_of(case)
    ours = outputs_of(case, arguments)
    with working_precision():
        enclosed = dict(_enclosed(problem, case, arguments, enclose(problem)))
    outputs, ratios, widest = {}, [0.0], [0.0]
    for key, ball in enclosed.items():
        right, (value, scale) = midpoints(ball).reshape(ours[key][0].shape), ours[key]
        wide = scale.astype(float)
        outputs[key] = right, scale
        ratios.append(worst(value - right, wide, U))
        widest.append(worst(radii(ball).reshape(right.shape), wide, 1.0))
    record = {
        "kind": "ball arithmetic",
        "outputs": sorted(outputs),
        "worst": float(f"{max(ratios):.1e}"),
        "radius": float(f"{max(widest):.1e}"),
    }
    return packed(
        case,
        arguments,
        outputs,
        [record],
        generator="validation.vectors",
        precision=f"ball arithmetic with {DIGITS} digits, rounded to float64",
    )


def _enclosed(
    problem: MicroProblem, case: Case, arguments: dict[str, Array], e: Enclosure
) -> Iterator[tuple[str, Any]]:
    basis = basis_of(arguments)
    pairs = [(exact_balls(Q_A), exact_balls(Q_S)) for _, Q_A, _, Q_S in basis.values()]
    lam = [exact_balls(arguments[f"eigenvalues/{b.name}"]) for b in case.blocks]
    v = exact_balls(arguments["vectors"])
    for layer, (block, place) in enumerate(zip(case.blocks, problem.slices, strict=True)):
        yield f"gradients/{block.name}", column_slice(e.gradients, place)
        for part, factor in zip("AS", e.factors[layer], strict=True):
            yield f"factors/{block.name}/{part}", factor
        yield f"eigenvalues/{block.name}", arb_solves.corrected_eigenvalues(e, layer, *pairs[layer])
    yield "gauss_newton", v * e.gauss_newton
    yield "solve/ekfac", arb_solves.solve_eigenbasis(problem, pairs, lam, v)
    yield "solve/gauss_newton", arb_solves.solve_gauss_newton(problem, e, v)
    q = e.query_gradients
    for name, solve in (
        ("gauss_newton", arb_solves.solve_gauss_newton),
        ("kfac", arb_solves.solve_kfac),
    ):
        yield f"scores/{name}", arb_solves.influences(solve(problem, e, q), e)


def all_vectors() -> Iterator[Vector]:
    """Every vector of version 1."""
    seeds = recorded()
    for id, case in all_cases().items():
        yield vector(case, seed=int(seeds[id]["seed"]))
    yield from licensed()
    yield from refused()
    for id in PROVED:
        yield proved_vector(id)


def release(folder: Path) -> None:
    """Write all vectors and their hashes."""
    for one in all_vectors():
        write(one, folder)
    names = sorted(p for p in folder.glob("*/*") if p.suffix in (".json", ".safetensors"))
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder)}" for p in names
    ]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    release(Path(sys.argv[1]))

"""The generator of vectors: a case, the right outputs, and the scales that errors are measured by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import refimpl
from refimpl.oracle.checks.check import worst as worst_ratio
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import ROUNDOFF
from refimpl.oracle.question.layout import flatten, unflatten
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.eigenvalues import EIGENVALUES
from refimpl.oracle.stages.factors import FACTORS
from refimpl.oracle.stages.gauss_newton import GAUSS_NEWTON
from refimpl.oracle.stages.gradients import GRADIENTS
from refimpl.oracle.truth.kronecker import Basis, damped_inverse, spectra
from refimpl.oracle.truth.scales import THRESHOLD, scale_of
from refimpl.oracle.truth.truth import Truth
from refimpl.oracle.vectors.files import Vector, described
from refimpl.oracle.vectors.killed import answers, killed_faults

__all__ = [
    "Outputs",
    "arguments_of",
    "basis_of",
    "outputs_of",
    "packed",
    "probes",
    "rounded_up",
    "vector",
]

# Output name -> (what is right, scale): error < threshold x u x scale, entry by entry.
Outputs = dict[str, tuple[Array, Array]]
U = ROUNDOFF["float64"]
# What judges each kind of output: its stage and its check.
JUDGES = {kind: (stage.name, slug) for stage in STAGES.values() for kind, slug in stage.checks}
# The stages in which the second implementation answers: those that do not only transform given arrays.
SECOND = tuple(stage.name for stage in STAGES.values() if stage.checks and stage.takes_case)


def vector(case: Case, *, seed: int = 0, expect: str = "match", reason: str = "") -> Vector:
    """Generate the vector of a case that has an answer.

    Args:
        case: The case, in refimpl's own conventions.
        seed: Seed that the case was drawn from.
        expect: "match", or "either" where a flag licenses it.
        reason: Reason for which it may be rejected.
    """
    arguments = arguments_of(case)
    outputs = outputs_of(case, arguments)
    confirmations = [
        _finite_differences(case),
        _second_implementation(case, arguments, outputs),
        killed_faults(case, arguments["vectors"], basis_of(arguments), outputs),
    ]
    return packed(case, arguments, outputs, confirmations, seed=seed, expect=expect, reason=reason)


def packed(
    case: Case,
    arguments: Mapping[str, Array],
    outputs: Outputs,
    confirmations: list[dict[str, Any]],
    *,
    seed: int = 0,
    expect: str = "match",
    reason: str = "",
    generator: str = "refimpl.oracle.vectors.generate",
    precision: str = "float64",
) -> Vector:
    """Assemble a vector from its outputs.

    Args:
        case: The case.
        arguments: Arguments of the stages by name.
        outputs: Right outputs and their scales, by name.
        confirmations: Entries of the field `checks_made`.
        seed: See `vector`.
        expect: See `vector`.
        reason: See `vector`.
        generator: Name of the generating module.
        precision: Precision in which the outputs were computed.
    """
    arrays = {**case.arrays, **{f"parameters/{k}": v for k, v in case.parameters.items()}}
    arrays |= {f"arguments/{k}": v for k, v in arguments.items()}
    for name, (right, scale) in outputs.items():
        arrays[f"outputs/{name}"], arrays[f"scales/{name}"] = right, scale
    plain = case.to_json()
    return Vector(
        {
            "schema": "refimpl-vector-1",
            "id": case.id,
            "expect": expect,
            "reason": reason,
            "source": {
                "generator": generator,
                "version": refimpl.__version__,
                "seed": seed,
                "torch": torch.__version__.partition("+")[0],
                "numpy": np.__version__,
                "precision": precision,
            },
            "conventions": plain["conventions"],
            "flags": list(case.flags),
            "case": {
                "layers": [dict(layer) for layer in case.layers],
                "tracked": list(case.tracked),
                "loss": plain["loss"],
                "damping": case.damping,
                "batch_size": case.batch_size,
            },
            "arrays": described(arrays),
            "outputs": {
                name: {
                    "stage": _judges(name)[0],
                    "check": _judges(name)[1],
                    "scale": f"scales/{name}",
                    "threshold": THRESHOLD,
                }
                for name in sorted(outputs)
            },
            "checks_made": confirmations,
        },
        arrays,
    )


def _judges(name: str) -> tuple[str, str]:
    """Stage and check of an output; A and S of the factors are judged by checks of their own."""
    head, tail = name.split("/")[0], name.split("/")[-1]
    return JUDGES[head if head in JUDGES else tail]


def probes(case: Case) -> Array:
    """Right-hand sides [2, P]: multiples of 1/8, none of them 0."""
    k = np.arange(2 * case.num_parameters).reshape(2, -1)
    return ((k * 7 + k // 5) % 16 - 7.5) / 4


def arguments_of(case: Case) -> dict[str, Array]:
    """Vectors to multiply and solve, and the eigenbasis and Lambda that later stages are given."""
    truth = Truth(case)
    arguments = {"vectors": probes(case)}
    for name, parts in truth.basis.items():
        for part, array in zip(("w_A", "Q_A", "w_S", "Q_S"), parts, strict=True):
            arguments[f"basis/{name}/{part}"] = array
        arguments[f"eigenvalues/{name}"] = truth.eigenvalues[name]
    return arguments


def basis_of(arguments: Mapping[str, Array]) -> Basis:
    """The basis among the arguments, as the stages take it.

    Args:
        arguments: Arguments from `arguments_of`.
    """
    names = [k.split("/")[1] for k in arguments if k.startswith("basis/") and k.endswith("/w_A")]
    parts = ("w_A", "Q_A", "w_S", "Q_S")
    return {n: tuple(arguments[f"basis/{n}/{p}"] for p in parts) for n in names}  # type: ignore[misc]


def outputs_of(case: Case, arguments: Mapping[str, Array]) -> Outputs:
    """Every output of a case and its scale.

    Args:
        case: The case.
        arguments: Arguments from `arguments_of`.
    """
    truth, basis, v = Truth(case), basis_of(arguments), arguments["vectors"]
    outputs: Outputs = {}
    # The scale is that of the stage and so of the check, but for what version 1 has otherwise, and
    # keeps: gradients (a part of the layer's norm more), products (|v| |G| less), solves.
    scales = GRADIENTS.scale(truth, {})
    for name, g in truth.gradients.items():
        # 1 - a^2 of a saturated unit is off by u, not by u (1 - a^2): measured by the layer's norm.
        outputs[f"gradients/{name}"] = g, scales[name] + np.sqrt((scales[name] ** 2).mean())
    scales = FACTORS.scale(truth, {})
    for name, factor in FACTORS.arrays(truth.factors).items():
        outputs[f"factors/{name}"] = factor, scales[name]
        # Weyl: eigenvalues move by the norm of the error of the matrix
        w = np.linalg.eigvalsh(factor)
        outputs[f"spectrum/{name}"] = w, np.full(len(w), np.linalg.norm(scales[name]))
    scales = EIGENVALUES.scale(truth, {"basis": basis})
    for name, lam in truth.eigenvalues_in(basis).items():
        outputs[f"eigenvalues/{name}"] = lam, scales[name]
    outputs[GAUSS_NEWTON.name] = v @ truth.matrix, scale_of(truth, lambda t: v @ t.matrix)
    for curvature in ("ekfac", "kfac", "gauss_newton"):
        outputs[f"solve/{curvature}"] = _solve(case, curvature, basis, arguments)
        if curvature == "ekfac" and "DegenerateSpectrum" in case.flags:
            continue  # not a function of the case: it depends on the eigensolver
        whole = Truth(case, curvature)  # with a scale also where a run would leave scores undecided
        outputs[f"scores/{curvature}"] = whole.scores, scale_of(whole, lambda t: t.scores)
    return {k: (np.asarray(a), rounded_up(s)) for k, (a, s) in outputs.items()}


def _solve(
    case: Case, curvature: str, basis: Basis, arguments: Mapping[str, Array]
) -> tuple[Array, Array]:
    """(H + lambda)^-1 v from the given parts; a stable solver's error is at most ~ u kappa ||x||."""
    v, truth = arguments["vectors"], Truth(case, curvature)
    if curvature == "gauss_newton":
        w = np.linalg.eigvalsh(truth.matrix) + case.damping
        x = truth.solve(v)
        kappa = w.max() / w.min()
    else:
        lam = {n: arguments[f"eigenvalues/{n}"] for n in basis}
        parts = spectra(curvature, basis, lam, case.damping, case.conventions)
        matrices = unflatten(v, case, case.conventions)
        x = flatten(damped_inverse(parts, matrices), case.conventions)
        damped = np.concatenate([D.ravel() for _, _, D in parts.values()])
        kappa = damped.max() / damped.min()
    return x, np.broadcast_to(kappa * np.linalg.norm(x, axis=1, keepdims=True), x.shape)


def rounded_up(scale: Array) -> Array:
    """A scale as float32, never smaller: it needs no more digits.

    Args:
        scale: Scale in float64, any shape.
    """
    return np.nextafter(np.asarray(scale, dtype=np.float32), np.float32(np.inf))


def _finite_differences(case: Case) -> dict[str, Any]:
    """Central differences of every example's loss in a random direction, against the gradients."""
    problem, h = case.problem, 1e-5
    direction = torch.from_numpy(probes(case)[0])
    change = problem.layout.named(h * direction)
    x, y = case.dataset().tensors

    def losses(sign: float) -> Array:
        moved = {
            k: v + sign * change[k].numpy() if k in change else v
            for k, v in case.parameters.items()
        }
        return problem.loss.value(case.but(parameters=moved).torch_module()(x), y).detach().numpy()

    differences = (losses(1.0) - losses(-1.0)) / (2 * h)
    right = (problem.gradients() @ direction).numpy()
    error = np.abs(differences - right).max() / max(np.abs(right).max(), 1e-300)
    return {"kind": "finite differences", "outputs": ["gradients"], "worst": _digits(error)}


def _second_implementation(
    case: Case, arguments: Mapping[str, Array], outputs: Outputs
) -> dict[str, Any]:
    """The worst ratio of the oracle's own second implementation."""
    v, basis = arguments["vectors"], basis_of(arguments)
    by_output = {
        name: answer
        for stage in SECOND
        for name, answer in answers(stage, Pipeline(), "ekfac", case, v, basis, outputs)
        if name in outputs
    }
    worst = 0.0
    for name, answer in by_output.items():
        worst = max(
            worst,
            worst_ratio(np.asarray(answer) - outputs[name][0], outputs[name][1].astype(float), U),
        )
    return {"kind": "second implementation", "outputs": sorted(by_output), "worst": _digits(worst)}


def _digits(number: float) -> float:
    return float(f"{number:.1e}")

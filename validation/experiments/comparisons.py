"""What studies have in common: the ladder's comparisons as parts, each saved as it finishes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

import refimpl as ri
from refimpl.rungs import records
from refimpl.rungs.comparisons import Setting, Solved, agreements, climb
from refimpl.rungs.curvatures import FITS, HEADLINE, TOP, TRUTH, Fit, Known, rungs
from refimpl.rungs.operators import operator
from refimpl.rungs.outcomes import SIGNS, predicted, retrained, scatter
from validation.parts.saved import plain
from validation.parts.study import Config, Earlier, Part

__all__ = [
    "Make",
    "Setting",
    "agreement_with",
    "chosen",
    "matrix_of",
    "outcomes",
    "parts",
    "results",
    "scores_of",
]

Make = Callable[[Config, Earlier], Setting]
KRONECKER = "fits/Kronecker"  # the part that fits the EK-FAC whose labels are not drawn
NOT_SCORES = ("matrix/", "products/", "ekfac/")  # by far the larger part of what is saved
KINDS = ("figures", "contrasts", "steps", "gaps", "scatter", "responses", "solves", "traces")


def parts(setting: Make, config: Config) -> list[Part]:
    """The comparisons of one trained model at every damping; they need a part "train".

    Args:
        setting: Makes the problem and its queries from the results of "train".
        config: With "dampings", "groups" (of rungs), "retrained" (at which dampings, by sign),
            "examples" and "top".
    """
    fits = [f"fits/{group}" for group in config["groups"]]
    listed = [Part("exact", partial(exact, setting), ("train",))]
    for group in config["groups"]:
        reads = ("train", "exact", *(f for f in fits if (group, f) == ("labels", KRONECKER)))
        listed.append(Part(f"fits/{group}", partial(fit, setting), reads, {"group": group}))
    for damping in config["dampings"]:
        at = {"damping": damping}
        name = f"influences/{damping:g}"
        listed.append(Part(name, influences, ("exact", *fits), at, without=NOT_SCORES))
        for reference, sign in SIGNS.items():
            name = "+" if sign > 0 else "-"
            if damping not in config["retrained"].get(name, []):
                continue
            solved = f"responses/{damping:g}/{name}"
            options = at | {"reference": reference}
            listed.append(Part(solved, partial(responses, setting), ("train", "exact"), options))
            options |= {"from": solved}
            agreed = solved.replace("responses", "outcomes")
            listed.append(agreement_with(agreed, fits, solved, options))
    return listed


def agreement_with(name: str, fits: Sequence[str], solved: str, options: Config) -> Part:
    """The part that compares every rung's predictions with retrainings.

    Args:
        name: Its name.
        fits: The parts of the rungs.
        solved: The part of the retrainings.
        options: With "damping", "reference" and "from".
    """
    return Part(name, outcomes, ("exact", *fits, solved), options, without=NOT_SCORES)


def chosen(config: Config) -> Int[Tensor, " K"]:
    """The training examples that are retrained, drawn at random."""
    order = np.random.RandomState(config["seed"] + 1).permutation(config["train"])
    return torch.from_numpy(np.sort(order[: config["examples"]]))


def exact(setting: Make, config: Config, earlier: Earlier) -> Any:
    """What the exact GNH gives at every damping, and its matrix if it was formed; the full Hessian's."""
    at = setting(config, earlier)
    curvature = ri.exact.GaussNewton(at.problem, **config.get("route", {}))
    matrices, fits = {}, [Fit(TRUTH, curvature, at.problem)]
    if curvature.method == "primal":
        matrices = {TRUTH: curvature.dense()}
        if config.get("full_hessian", True):
            matrices[TOP] = ri.exact.hessian(at.problem)
            full = ri.Dense(at.problem, [matrices[TOP]], positive=False)
            fits.append(Fit(TOP, full, at.problem))
    found, records = climb(
        fits, at, config["dampings"], known={}, top_k=config["top"], operators=bool(matrices)
    )
    arrays = _scores(found)
    arrays |= {f"products/{name}": solved.products.numpy() for name, solved in found.items()}
    arrays |= {f"matrix/{name}": matrix.numpy() for name, matrix in matrices.items()}
    return _seeded(records, config) | {"method": curvature.method}, arrays


def fit(setting: Make, config: Config, earlier: Earlier) -> Any:
    """Scores of a group of rungs, their errors, and what each adds to the one before."""
    at = setting(config, earlier)
    saved = earlier["exact"].arrays
    truths = {
        name: Solved(
            torch.from_numpy(saved[f"scores/{name}"]),
            torch.from_numpy(saved[f"products/{name}"]),
            [],
            operator=_operator(at, matrix_of(earlier, name)),
        )
        for name in (TRUTH, TOP)
        if f"scores/{name}" in saved
    }
    matrix = matrix_of(earlier)
    known = Known(config["seed"], matrix, _fitted(at, earlier))
    fitted: dict[str, np.ndarray] = {}

    def fits() -> Iterator[Fit]:
        for one in FITS[config["group"]](at.problem, known):
            if one.name == HEADLINE and one.shown:
                assert isinstance(one.curvature, ri.fast.EKFAC)
                fitted.update(_eigen(one.curvature))
            yield one

    found, records = climb(
        fits(), at, config["dampings"], known=truths, top_k=config["top"],
        operators=matrix is not None,
    )  # fmt: skip
    return _seeded(records, config), _scores(found) | fitted


def _eigen(ekfac: ri.fast.EKFAC) -> dict[str, np.ndarray]:
    """Factors and eigendecompositions of an EK-FAC, as arrays that are saved."""
    parts = {name: (*ekfac.factors[name], *ekfac.eigen[name]) for name in ekfac.eigen}
    return {
        f"ekfac/{n}/{i}": part.numpy() for n, all_ in parts.items() for i, part in enumerate(all_)
    }


def _fitted(at: Setting, earlier: Earlier) -> ri.fast.EKFAC | None:
    """The EK-FAC that an earlier part fitted, if it did."""
    if KRONECKER not in earlier:
        return None
    arrays = earlier[KRONECKER].arrays
    parts = {
        block.name: tuple(torch.from_numpy(arrays[f"ekfac/{block.name}/{i}"]) for i in range(5))
        for block in at.problem.layout.blocks
    }
    return ri.fast.EKFAC(
        at.problem,
        factors={name: (A, S) for name, (A, S, *_) in parts.items()},
        eigen={name: (Q_A, Q_S, L) for name, (*_, Q_A, Q_S, L) in parts.items()},
    )


def _operator(at: Setting, matrix: Float[Tensor, "P P"] | None) -> Any:
    return None if matrix is None else operator(ri.Dense(at.problem, [matrix]))


def _scores(found: Mapping[str, Solved]) -> dict[str, np.ndarray]:
    return {f"scores/{name}": solved.scores.numpy() for name, solved in found.items()}


def _seeded(records: Mapping[str, list[Any]], config: Config) -> dict[str, list[Any]]:
    """The records of a page, which say of which seed they are."""
    return {
        kind: [{"seed": config["seed"], **record} for record in found]
        for kind, found in records.items()
    }


def matrix_of(earlier: Earlier, name: str = TRUTH) -> Float[Tensor, "P P"] | None:
    """The matrix that the part "exact" formed, if it did.

    Args:
        earlier: Results of parts.
        name: TRUTH or TOP.
    """
    matrix = earlier["exact"].arrays.get(f"matrix/{name}")
    return None if matrix is None else torch.from_numpy(matrix)


def scores_of(
    earlier: Earlier, config: Config, damping: float
) -> dict[str, Float[np.ndarray, "Q N"]]:
    """The scores of every rung that has them at a damping, in the order of the tables.

    Args:
        earlier: Results of parts.
        config: The study's configuration.
        damping: lambda.
    """
    at = config["dampings"].index(damping)
    saved = {name: a for part in earlier.values() for name, a in part.arrays.items()}
    names = [rung.name for rung in rungs(config["groups"])]
    found = {name: saved[f"scores/{name}"][at] for name in names if f"scores/{name}" in saved}
    return {name: value for name, value in found.items() if np.isfinite(value).all()}


def influences(config: Config, earlier: Earlier) -> Any:
    """Every rung's scores against the exact ones and the full Hessian's, at one damping."""
    scores = scores_of(earlier, config, config["damping"])
    found: dict[str, list[Any]] = {"figures": [], "contrasts": []}
    for reference in (TRUTH, TOP):
        if reference not in scores:
            continue
        common = _at(config, reference)
        agreed = agreements(scores, scores[reference], config["top"], common)
        found["figures"] += agreed["figures"]
        found["contrasts"] += agreed["contrasts"]
    return found


def _at(config: Config, reference: str) -> dict[str, Any]:
    return {"seed": config["seed"], "reference": reference, "damping": config["damping"]}


def responses(setting: Make, config: Config, earlier: Earlier) -> Any:
    """The measured change of every query when each example gains the weight +-1/N."""
    at, examples = setting(config, earlier), chosen(config)
    record, change = retrained(
        at,
        examples,
        reference=config["reference"],
        damping=config["damping"],
        trials=config["quasi_newton_trials"],
        matrix=matrix_of(earlier),
    )
    weights = np.zeros((len(examples), config["train"]))
    weights[range(len(examples)), examples.numpy()] = SIGNS[config["reference"]] / config["train"]
    arrays = {"change": change.numpy(), "weights": weights}
    return _seeded({"responses": [record]}, config), arrays


def outcomes(config: Config, earlier: Earlier) -> Any:
    """Every rung's predicted changes against the measured ones of converged retrainings."""
    measured, reference = earlier[config["from"]], config["reference"]
    kept = np.array(measured.values["responses"][0]["converged"])
    change = measured.arrays["change"][:, kept]
    weights = measured.arrays["weights"][
        kept
    ]  # by how much each retraining changed every example's
    known = {name: part for name, part in earlier.items() if name != config["from"]}
    scores = {
        name: value @ weights.T
        for name, value in scores_of(known, config, config["damping"]).items()
    }
    common = _at(config, reference)
    found = predicted(scores, change, config["top"], common)
    if "statistics" in config:
        found["figures"] = [f for f in found["figures"] if f["statistic"] in config["statistics"]]
    elif config["damping"] == config["headline"] and found["figures"] and reference in SIGNS:
        found["scatter"] = [common | scatter(scores, change, config["seed"])]
    return found


def results(
    config: Config, found: Mapping[int, Earlier], also: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The plain data of a study's page, but for its name, title, setting and provenance.

    Args:
        config: The study's configuration.
        found: Results by seed and part.
        also: More "curvatures", "references" and "statistics" for what the study measures besides.
    """
    parts = [result.values for earlier in found.values() for result in earlier.values()]
    first = [result.values for result in next(iter(found.values())).values()]
    measured = {
        kind: [
            r for values in (first if kind == "scatter" else parts) for r in values.get(kind, [])
        ]
        for kind in KINDS
    }
    page = records.page(
        measured,
        groups=config["groups"],
        headline=config["headline"],
        top_k=config["top"],
        examples=config["train"],
        retrained=config["examples"],
    )
    for kind, entries in (also or {}).items():
        page[kind] = [*page[kind], *entries]
    page["top_examples"] = [t for values in parts for t in values.get("top_examples", [])]
    for values in first:
        page |= {name: values[name] for name in ("gallery", "passages", "claims") if name in values}
    return plain(page)

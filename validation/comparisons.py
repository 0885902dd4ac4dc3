"""What studies have in common: every curvature against the exact one, and against retraining."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy.stats import rankdata
from torch import Tensor

import refimpl as ri
from refimpl import agreement, fast
from refimpl.problem import Data
from refimpl.report.results import FORMAT
from validation.runner import Config, Earlier, Part
from validation.saved import plain

__all__ = ["CURVATURES", "Setting", "influences", "outcomes", "parts", "pictures", "results"]

TRUTH = "exact GNH"
HEADLINE = "EK-FAC"


@dataclass(frozen=True)
class Setting:
    """A trained problem and its queries."""

    problem: ri.Problem
    query_inputs: Data
    query_targets: Shaped[Tensor, "Q ..."]


@dataclass(frozen=True)
class Entry:
    """A curvature of the tables; the family is what its colour stands for."""

    name: str
    family: str
    description: str
    build: Callable[[ri.Problem, int], ri.Curvature]


def _sampled(problem: ri.Problem, seed: int) -> ri.Curvature:
    generator = torch.Generator().manual_seed(seed)
    return fast.EKFAC(problem, fisher="sampled", samples=1, generator=generator)


CURVATURES = (
    Entry(TRUTH, TRUTH, "the whole matrix, no approximation", lambda p, _: ri.exact.GaussNewton(p)),
    Entry(
        "block-diagonal GNH",
        "block-diagonal GNH",
        "its exact layer blocks; layers do not interact",
        lambda p, _: fast.BlockDiagonal(p),
    ),
    Entry(
        "EK-FAC",
        "EK-FAC",
        "K-FAC's eigenvectors, eigenvalues corrected",
        lambda p, _: fast.EKFAC(p),
    ),
    Entry(
        "K-FAC", "K-FAC", "a Kronecker product per layer, damped by λI", lambda p, _: fast.KFAC(p)
    ),
    Entry(
        "K-FAC, factored damping",
        "K-FAC",
        "damping split between the two factors (π)",
        lambda p, _: fast.KFAC(p, factored_damping=True),
    ),
    Entry("EK-FAC, 1 sample", "EK-FAC", "one sampled label per example", _sampled),
    Entry(
        "EK-FAC, empirical",
        "EK-FAC",
        "the data's labels in place of the model's",
        lambda p, _: fast.EKFAC(p, fisher="empirical"),
    ),
    Entry(
        "K-FAC, empirical",
        "K-FAC",
        "the data's labels in place of the model's",
        lambda p, _: fast.KFAC(p, fisher="empirical"),
    ),
    Entry(
        "empirical Fisher",
        "empirical Fisher",
        "second moment of the loss gradients, whole matrix",
        lambda p, _: fast.EmpiricalFisher(p),
    ),
    Entry(
        "diagonal GNH",
        "diagonal GNH",
        "the diagonal of the exact matrix",
        lambda p, _: fast.Diagonal(p),
    ),
    Entry("identity", "identity", "dot product of gradients", lambda p, _: fast.Identity(p)),
)
LADDER = (TRUTH, "block-diagonal GNH", "EK-FAC", "K-FAC", "K-FAC, factored damping")
# Paired comparisons: (lower rung, upper rung), then each variant and its original.
PAIRS = (
    *((lower, upper) for upper, lower in zip(LADDER[1:], LADDER[2:], strict=False)),
    ("EK-FAC, 1 sample", "EK-FAC"),
    ("EK-FAC, empirical", "EK-FAC"),
    ("EK-FAC", "identity"),
)
STATISTICS = {  # how a page names them, and which end is good
    "pearson": ("Pearson r", "higher"),
    "spearman": ("Spearman ρ", "higher"),
    "kendall": ("Kendall τ", "higher"),
    "top_k": ("top-{k} overlap", "higher"),  # of the strongest, whatever their sign
    "ihvp_error": ("iHVP error", "lower"),
    "change_error": ("error of the change", "lower"),
}
SHOWN = 12  # queries pictured
BESIDE = 5  # training examples on either side
SIGNS = {"PBRF +1/N": 1, "PBRF −1/N": -1}


def parts(setting: Callable[[Config, Earlier], Setting], config: Config) -> list[Part]:
    """The comparisons of one trained model at every damping; they need a part "train".

    Args:
        setting: Makes the problem from the results of "train".
        config: With "dampings", "examples" and "top".
    """
    listed: list[Part] = []
    for damping in config["dampings"]:
        scores = f"influences/{damping:g}"
        at = {"damping": damping}
        listed.append(Part(scores, partial(influences, setting), ("train",), at))
        for reference, sign in SIGNS.items():
            solved = f"responses/{damping:g}/{'+' if sign > 0 else '-'}"
            options = at | {"sign": sign, "reference": reference}
            listed.append(Part(solved, partial(responses, setting), ("train",), options))
            agreed = solved.replace("responses", "outcomes")
            listed.append(
                Part(agreed, outcomes, (scores, solved), options | {"from": [scores, solved]})
            )
    return listed


def retrained(config: Config) -> Int[Tensor, " K"]:
    """The training examples that are retrained, drawn at random."""
    order = np.random.RandomState(config["seed"] + 1).permutation(config["train"])
    return torch.from_numpy(np.sort(order[: config["examples"]]))


def influences(
    setting: Callable[[Config, Earlier], Setting], config: Config, earlier: Earlier
) -> Any:
    """Every curvature's scores and inverse-vector products against the exact ones, at one damping."""
    at = setting(config, earlier)
    damping, examples = config["damping"], retrained(config).numpy()
    gradients = at.problem.gradients(at.query_inputs, at.query_targets)
    scores: dict[str, np.ndarray] = {}
    products: dict[str, Tensor] = {}
    solves: list[dict[str, Any]] = []
    for entry in CURVATURES:
        curvature = entry.build(at.problem, config["seed"])
        solution = curvature.solve(gradients, damping)
        certificate = solution.certificate
        missed = int((~certificate.converged).sum())
        solves.append(
            {
                "seed": config["seed"],
                "damping": damping,
                "curvature": entry.name,
                "solves": len(gradients),
                "missed": missed,
                "backward_error": float(certificate.backward_error.max()),
                "tolerance": certificate.tolerance,
            }
        )
        if missed:
            continue  # it has no answer to compare, and the page says so
        products[entry.name] = solution.value
        scores[entry.name] = ri.influence(
            at.problem, at.query_inputs, at.query_targets, curvature=curvature, damping=damping
        ).numpy()
    common = {"seed": config["seed"], "reference": TRUTH, "damping": damping}
    figures, contrasts = _compare(scores, scores[TRUTH], config, common)
    for name, product in products.items():
        if name != TRUTH:
            error = agreement.relative_error(product, products[TRUTH])
            figures.append(common | {"curvature": name, "statistic": "ihvp_error"} | _plain(error))
    arrays = {f"scores/{name}": value[:, examples] for name, value in scores.items()}
    arrays |= {f"all/{name}": scores[name] for name in (TRUTH, HEADLINE) if name in scores}
    return {"figures": figures, "contrasts": contrasts, "solves": solves}, arrays


def responses(
    setting: Callable[[Config, Earlier], Setting], config: Config, earlier: Earlier
) -> Any:
    """The measured change of every query's loss when each example gains the weight sign / N."""
    at = setting(config, earlier)
    damping, examples = config["damping"], retrained(config)
    response = ri.exact.bregman_response(
        at.problem,
        examples,
        epsilon=config["sign"] / at.problem.num_examples,
        damping=damping,
        quasi_newton_trials=config["quasi_newton_trials"],
        newton_steps=0,
    )
    before = at.problem.measure(at.query_inputs, at.query_targets)
    after = at.problem.measure(at.query_inputs, at.query_targets, parameters=response.parameters)
    change = (after - before).T
    certificate = response.certificate
    # |f(theta) - f(theta*)| <= ||grad f|| ||theta - theta*||, to first order, and the latter is at
    # most the gradient left over lambda where the objective is lambda-strongly convex.
    slopes = at.problem.gradients(at.query_inputs, at.query_targets).norm(dim=1)
    bars = torch.outer(slopes, certificate.gradient_norm) / damping
    kept = certificate.converged
    share = (bars / change.abs())[:, kept]
    values = {
        "seed": config["seed"],
        "reference": config["reference"],
        "damping": damping,
        "tolerance": certificate.tolerance,
        "examples": examples.tolist(),
        "relative_gradient_norm": certificate.relative_gradient_norm.tolist(),
        "iterations": certificate.iterations.tolist(),
        "converged": kept.tolist(),
        "error_bar": float(share.median()) if kept.any() else None,
    }
    return {"responses": values}, {"change": change.numpy()}


def outcomes(config: Config, earlier: Earlier) -> Any:
    """Every curvature's predicted changes against the measured ones of converged retrainings."""
    predicted, measured = (earlier[name] for name in config["from"])
    kept = np.array(measured.values["responses"]["converged"])
    epsilon = config["sign"] / config["train"]
    change = measured.arrays["change"][:, kept]
    scores = {
        name.removeprefix("scores/"): epsilon * value[:, kept]
        for name, value in predicted.arrays.items()
        if name.startswith("scores/")
    }
    common = {
        "seed": config["seed"],
        "reference": config["reference"],
        "damping": config["damping"],
    }
    figures, contrasts = _compare(scores, change, config, common)
    for name, value in scores.items():
        error = agreement.relative_error(value, change)
        figures.append(common | {"curvature": name, "statistic": "change_error"} | _plain(error))
    found: dict[str, Any] = {"figures": figures, "contrasts": contrasts}
    if config["damping"] == config["headline"]:
        found["scatter"] = common | _scatter(scores, change, config["seed"])
    return found


def _compare(
    scores: Mapping[str, Float[np.ndarray, "Q M"]],
    reference: Float[np.ndarray, "Q M"],
    config: Config,
    common: dict[str, Any],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Agreement figures of all scores with the reference, and the paired differences."""
    figures: list[dict[str, Any]] = []
    pearson: dict[str, agreement.Estimate] = {}
    for name, value in scores.items():
        if name == common["reference"]:
            continue
        pearson[name] = agreement.pearson(value, reference)
        top = agreement.top_k_overlap(value, reference, config["top"], by="magnitude")
        found = {
            "pearson": pearson[name],
            "spearman": agreement.spearman(value, reference),
            "kendall": agreement.kendall(value, reference),
            "top_k": top.overlap,
        }
        for statistic, estimate in found.items():
            figures.append(common | {"curvature": name, "statistic": statistic} | _plain(estimate))
    contrasts = [
        common
        | {"first": first, "second": second, "statistic": "pearson"}
        | _plain(agreement.difference(pearson[first], pearson[second]))
        for first, second in PAIRS
        if first in pearson and second in pearson
    ]
    return figures, contrasts


def _scatter(
    scores: Mapping[str, Float[np.ndarray, "Q M"]], change: Float[np.ndarray, "Q M"], seed: int
) -> dict[str, Any]:
    """A random part of the pairs, for a drawing: four digits are enough."""
    pairs = np.random.RandomState(seed).permutation(change.size)[:3000]

    def some(values: Float[np.ndarray, "Q M"]) -> list[float]:
        return [float(f"{v:.4g}") for v in values.ravel()[pairs]]

    shown = (*LADDER[:3], "identity")
    predicted = {name: some(scores[name]) for name in shown if name in scores}
    return {"pairs": change.size, "measured": some(change), "predicted": predicted}


def pictures(
    at: Setting,
    image: Callable[[Tensor], list[list[float]]],
    config: Config,
    earlier: Earlier,
) -> dict[str, Any]:
    """Queries beside the training examples that move them most, and what those are like.

    Args:
        at: The problem and its queries.
        image: An input as rows of grey values.
        config: With "headline", "notable" and "top".
        earlier: With the influences at the headline damping.
    """
    from_weight = 1 / config["train"]
    saved = earlier[f"influences/{config['headline']:g}"].arrays
    change = from_weight * saved[f"all/{TRUTH}"]
    other = from_weight * saved[f"all/{HEADLINE}"]
    losses = at.problem.losses().numpy()
    query_losses = at.problem.losses(at.query_inputs, at.query_targets).numpy()
    predicted = at.problem.outputs(at.query_inputs).argmax(dim=1)
    labels, query_labels = at.problem.targets.numpy(), at.query_targets.numpy()
    strength = np.abs(change).max(axis=1)
    notable = np.flatnonzero(strength >= config["notable"])
    notable = notable[np.argsort(-strength[notable], kind="stable")]
    # Evenly through their ranking, so that neither taste nor luck chooses.
    shown = (
        notable[np.unique(np.linspace(0, len(notable) - 1, SHOWN).round().astype(int))]
        if len(notable)
        else notable
    )

    def side(query: int, sign: int) -> list[dict[str, Any]]:
        also = set(np.argsort(sign * other[query], kind="stable")[:BESIDE].tolist())
        return [
            {
                "index": m,
                "label": str(labels[m]),
                "loss": losses[m],
                "change": change[query, m],
                "image": image(at.problem.inputs[m]),
                "shared": m in also,
            }
            for m in np.argsort(sign * change[query], kind="stable")[:BESIDE].tolist()
        ]

    queries = [
        {
            "index": q,
            "label": str(query_labels[q]),
            "predicted": str(int(predicted[q])),
            "loss": query_losses[q],
            "image": image(at.query_inputs[q]),
            "helpful": side(q, 1),
            "harmful": side(q, -1),
        }
        for q in shown.tolist()
    ]
    common = {"seed": config["seed"], "curvature": TRUTH, "damping": config["headline"]}
    gallery = common | {
        "other": HEADLINE,
        "threshold": config["notable"],
        "notable": len(notable),
        "queries_total": len(change),
        "chosen": f"Shown are {len(queries)}, taken evenly through the ranking by their strongest "
        "influence.",
        "queries": queries,
    }
    tops: list[dict[str, Any]] = []
    if len(notable) > 1:  # an interval over queries needs two
        for group, sign in (("most helpful", 1), ("most harmful", -1)):
            order_by, own = sign * change[notable], query_labels[notable]
            tops.append(common | {"group": group} | _top(order_by, own, labels, losses, config))
    return {"gallery": gallery, "top_examples": tops}


def _top(
    order_by: Float[np.ndarray, "Q N"],
    query_labels: Int[np.ndarray, " Q"],
    labels: Int[np.ndarray, " N"],
    losses: Float[np.ndarray, " N"],
    config: Config,
) -> dict[str, Any]:
    """What the examples that come first in `order_by` are like: labels and own losses."""
    top = np.argsort(order_by, axis=1, kind="stable")[:, : config["top"]]
    percentile = 100 * (rankdata(losses) - 0.5) / len(losses)
    same = (labels[top] == query_labels[:, None]).mean(axis=1)
    counts, _ = np.histogram(percentile[top], bins=10, range=(0, 100))
    return {
        "count": config["top"],
        "queries": len(top),
        "scope": "notable queries",
        "same_label": _triple(same),
        "chance_label": (labels[None, :] == query_labels[:, None]).mean(),
        "loss_percentile": _triple(percentile[top].mean(axis=1)),
        "mean_loss": losses[top].mean(),
        "mean_loss_all": losses.mean(),
        "deciles": counts / counts.sum(),
    }


def results(config: Config, found: Mapping[int, Earlier]) -> dict[str, Any]:
    """The plain data of a page, but for its name, title, setting and provenance.

    Args:
        config: The study's configuration.
        found: Results by seed and part.
    """
    parts = [result.values for earlier in found.values() for result in earlier.values()]
    pictured = next(values for values in parts if "gallery" in values)
    k, retrained = config["top"], config["examples"]
    # Of an error: what predicting no change at all would give.
    unrelated = {"pearson": 0.0, "spearman": 0.0, "ihvp_error": 1.0, "change_error": 1.0}
    return plain(
        {
            "format": FORMAT,
            "curvatures": [
                {"name": c.name, "family": c.family, "description": c.description}
                for c in CURVATURES
            ],
            "truth": TRUTH,
            "ladder": LADDER,
            "headline": {
                "damping": config["headline"], "curvature": HEADLINE, "statistic": "pearson",
            },
            "references": [
                {
                    "name": TRUTH,
                    "title": "agreement with the exact Gauss-Newton Hessian",
                    "short": "the exact scores",
                    "kind": "curvature",
                    "caption": f"Every query's influences on all {config['train']:,} training "
                    f"examples, compared with those of the {TRUTH} at the same damping; and the "
                    "relative error of the inverse-Hessian-vector products (iHVP) behind them.",
                    "chance": unrelated | {"top_k": k / config["train"]},
                },
                *(
                    {
                        "name": name,
                        "title": f"{doing} an example (ε = {'+' if sign > 0 else '−'}1/N)",
                        "short": f"{doing} an example",
                        "kind": "outcome",
                        "caption": f"For each query, predicted against measured changes of its loss "
                        f"over {retrained} training examples drawn at random. The error of the "
                        "change is ‖predicted − measured‖ / ‖measured‖: predicting no change at "
                        "all would give 1.",
                        "chance": unrelated | {"top_k": k / retrained},
                    }
                    for name, sign, doing in (
                        (*item, doing)
                        for item, doing in zip(SIGNS.items(), ("doubling", "removing"), strict=True)
                    )
                ),
            ],
            "statistics": [
                {
                    "name": name,
                    "label": label.format(k=k),
                    "better": better,
                    "plotted": name != "kendall",
                }
                for name, (label, better) in STATISTICS.items()
            ],
            "agreement": [f for values in parts for f in values.get("figures", [])],
            "contrasts": [c for values in parts for c in values.get("contrasts", [])],
            "scatter": [
                values["scatter"] for values in parts[: len(parts) // len(found)] if "scatter" in values
            ],
            "responses": [values["responses"] for values in parts if "responses" in values],
            "solves": [s for values in parts for s in values.get("solves", [])],
            "gallery": pictured["gallery"],
            "top_examples": [t for values in parts for t in values.get("top_examples", [])],
        }
    )  # fmt: skip


def _plain(estimate: agreement.Estimate) -> dict[str, Any]:
    """An estimate as the page's records have it."""
    return {
        "value": estimate.value,
        "low": estimate.interval.low,
        "high": estimate.interval.high,
        "undefined": estimate.undefined,
    }


def _triple(per_query: Float[np.ndarray, " Q"]) -> list[float]:
    """The mean over queries and the ends of its interval."""
    mean = agreement.mean_over_queries(per_query)
    return [mean.value, mean.interval.low, mean.interval.high]

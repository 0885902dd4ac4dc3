"""Queries beside the training images that move them most, and what those are like."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float, Int
from torch import Tensor

from refimpl import agreement
from refimpl.rungs.curvatures import HEADLINE, TRUTH
from refimpl.rungs.saved import scores_of
from refimpl.rungs.setting import Setting
from validation.experiments.ladder import plan_of
from validation.experiments.selection import notable
from validation.parts.study import Config, Earlier

__all__ = ["gallery_of"]

SHOWN = 12  # queries pictured
BESIDE = 5  # training examples on either side


def gallery_of(
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
        earlier: With the scores of the exact GNH and of EK-FAC.
    """
    from_weight = 1 / config["train"]
    scores = scores_of(plan_of(config), earlier, config["headline"])
    change, other = from_weight * scores[TRUTH], from_weight * scores[HEADLINE]
    losses = at.problem.losses().numpy()
    query_losses = at.problem.losses(at.query_inputs, at.query_targets).numpy()
    predicted = at.problem.outputs(at.query_inputs).argmax(dim=1)
    labels, query_labels = at.problem.targets.numpy(), at.query_targets.numpy()
    ranked, shown = notable(change, config["notable"], SHOWN)

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
        "notable": len(ranked),
        "queries_total": len(change),
        "chosen": f"Shown are {len(queries)}, taken evenly through the ranking by their strongest "
        "influence.",
        "queries": queries,
    }
    tops: list[dict[str, Any]] = []
    if len(ranked) > 1:  # an interval over queries needs two
        for group, sign in (("most helpful", 1), ("most harmful", -1)):
            order_by, its_label = sign * change[ranked], query_labels[ranked]
            tops.append(
                common | {"group": group} | _top(order_by, its_label, labels, losses, config)
            )
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
    percentile = 100 * (scipy.stats.rankdata(losses) - 0.5) / len(losses)
    same = (labels[top] == query_labels[:, None]).mean(axis=1)
    counts, _ = np.histogram(percentile[top], bins=10, range=(0, 100))
    return {
        "count": config["top"],
        "queries": len(top),
        "scope": "notable queries",
        "same_label": _triple(same, 1.0),
        "chance_label": (labels[None, :] == query_labels[:, None]).mean(),
        "loss_percentile": _triple(percentile[top].mean(axis=1), 100.0),
        "mean_loss": losses[top].mean(),
        "mean_loss_all": losses.mean(),
        "deciles": counts / counts.sum(),
    }


def _triple(per_query: Float[np.ndarray, " Q"], most: float) -> list[float]:
    """The mean over queries and its interval, which Student's would let reach beyond 0 and the most."""
    mean = agreement.mean_over_queries(per_query)
    return [mean.value, max(mean.interval.low, 0.0), min(mean.interval.high, most)]

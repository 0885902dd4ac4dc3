"""Queries log p(completion | prompt) beside the training passages that move them most, as text."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

import refimpl as ri
from refimpl.rungs.curvatures import HEADLINE, TRUTH
from refimpl.rungs.saved import scores_of
from refimpl.rungs.setting import Setting
from validation.experiments.ladder import plan_of
from validation.experiments.selection import notable
from validation.parts.study import Config, Earlier

__all__ = ["Decode", "passages_of"]

SHOWN = 6  # queries
BESIDE = 3  # passages on either side

Decode = Callable[[Int[Tensor, " T"]], str]


def passages_of(
    at: Setting,
    exact: ri.Curvature,
    decode: Decode,
    sources: tuple[list[str], list[str]],
    config: Config,
    earlier: Earlier,
) -> dict[str, Any]:
    """The plain data of the page's passages.

    Args:
        at: The problem, its token numbers as inputs and the next ones as targets, and the queries.
        exact: The exact Gauss-Newton Hessian.
        decode: Token numbers to text, those below 0 left out.
        sources: Where each training window and each query comes from.
        config: With "headline" and "notable".
        earlier: With the scores of the exact GNH and of EK-FAC.
    """
    weight, damping = 1 / config["train"], config["headline"]
    scores = scores_of(plan_of(config), earlier, damping)
    change, other = weight * scores[TRUTH], weight * scores[HEADLINE]
    ranked, shown = notable(change, config["notable"], SHOWN)
    losses = at.problem.losses().numpy()
    values = at.values().numpy()
    inputs, targets = _tensor(at.problem.inputs), at.problem.targets
    query_inputs, query_targets = _tensor(at.query_inputs), at.query_targets

    def side(query: int, sign: int) -> list[dict[str, Any]]:
        chosen = np.argsort(-sign * change[query], kind="stable")[:BESIDE]
        chosen = chosen[sign * change[query, chosen] > 0]
        if not len(chosen):
            return []
        also = set(np.argsort(-sign * other[query], kind="stable")[:BESIDE].tolist())
        tokens = (
            weight
            * ri.token_influence(
                at.problem,
                query_inputs[query : query + 1],
                query_targets[query : query + 1],
                curvature=exact,
                damping=damping,
                measurement=at.measurement,
                candidates=torch.from_numpy(chosen),
            )[0].numpy()
        )
        return [
            {
                "index": int(m),
                "source": sources[0][m],
                "change": change[query, m],
                "loss": losses[m],
                "lead": decode(inputs[m, :1]),
                "tokens": [decode(t[None]) for t in targets[m]],
                "influence": _short(row),
                "shared": int(m) in also,
            }
            for m, row in zip(chosen, tokens, strict=True)
        ]

    queries = []
    for q in shown.tolist():
        whole = decode(query_inputs[q, :1]) + decode(_next(query_inputs[q], query_targets[q]))
        prompt = (
            int((query_targets[q] >= 0).int().argmax()) + 1
        )  # up to the first token that counts
        queries.append(
            {
                "index": q,
                "prompt": whole[:prompt],
                "completion": whole[prompt:],
                "log_likelihood": values[q],
                "source": sources[1][q],
                "helpful": side(q, 1),
                "harmful": side(q, -1),
            }
        )
    page = {
        "seed": config["seed"],
        "curvature": TRUTH,
        "other": HEADLINE,
        "damping": damping,
        "threshold": config["notable"],
        "notable": len(ranked),
        "queries_total": len(change),
        "chosen": f"Shown are {len(queries)}, taken evenly through the ranking by their strongest "
        "influence.",
        "queries": queries,
    }
    return {"passages": page}


def _tensor(inputs: Any) -> Int[Tensor, "N T"]:
    return inputs[0] if isinstance(inputs, tuple) else inputs


def _next(inputs: Int[Tensor, " T"], targets: Int[Tensor, " T"]) -> Int[Tensor, " T"]:
    """The token after each input: the next input, where the target is ignored."""
    following = torch.cat([inputs[1:], targets[-1:]])
    return torch.where(targets >= 0, targets, following)


def _short(values: Float[np.ndarray, " T"]) -> list[float]:
    """Four digits are enough for a colour."""
    return [float(f"{v:.4g}") for v in values]

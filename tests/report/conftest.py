"""A small but complete set of results, and the sections that only some studies have."""

from typing import Any

import pytest

IMAGE = [[0.0, 0.5], [1.0, 0.25]]


def figure(
    reference: str, damping: float, curvature: str, value: float, **more: Any
) -> dict[str, Any]:
    record = {
        "seed": 0,
        "reference": reference,
        "damping": damping,
        "curvature": curvature,
        "statistic": "pearson",
        "value": value,
        "low": value - 0.01,
        "high": value + 0.01,
    }
    return record | more


def contrast(damping: float, low: float, high: float) -> dict[str, Any]:
    return {
        "seed": 0,
        "reference": "truth",
        "damping": damping,
        "statistic": "pearson",
        "first": "coarse",
        "second": "fine",
        "value": (low + high) / 2,
        "low": low,
        "high": high,
    }


def step(damping: float, lower: str, statistic: str, value: float, half: float) -> dict[str, Any]:
    return {
        "seed": 0,
        "damping": damping,
        "upper": "truth",
        "lower": lower,
        "statistic": statistic,
        "value": value,
        "low": value - half,
        "high": value + half,
        "undefined": 0,
    }


def response(damping: float, converged: list[bool]) -> dict[str, Any]:
    return {
        "seed": 0,
        "reference": "up",
        "damping": damping,
        "tolerance": 1e-8,
        "examples": [10 * k for k in range(len(converged))],
        "relative_gradient_norm": [3e-9 if ok else 2e-3 for ok in converged],
        "iterations": [5] * len(converged),
        "converged": converged,
        "error_bar": 1e-7,
    }


def top(group: str, percentile: tuple[float, float, float]) -> dict[str, Any]:
    return {
        "seed": 0,
        "group": group,
        "curvature": "truth",
        "damping": 1e-3,
        "count": 3,
        "queries": 7,
        "scope": "notable queries",
        "same_label": [0.5, 0.4, 0.6],
        "chance_label": 0.1,
        "loss_percentile": [float(p) for p in percentile],
        "mean_loss": 0.3,
        "mean_loss_all": 0.1,
        "deciles": [0.1] * 10,
    }


def training_example(index: int, label: str) -> dict[str, Any]:
    return {
        "index": index,
        "label": label,
        "loss": 0.25,
        "change": -0.02,
        "image": IMAGE,
        "shared": index % 2 == 0,
    }


@pytest.fixture
def results() -> Any:
    """Three curvatures, two dampings, a curvature reference and an outcome."""
    figures = []
    for damping, fine, coarse in ((1e-1, 0.9, 0.85), (1e-3, 0.7, 0.5)):
        figures += [
            figure("truth", damping, "fine", fine),
            figure("truth", damping, "coarse", coarse),
            figure("up", damping, "truth", 0.99),
            figure("up", damping, "fine", fine - 0.1),
            figure("up", damping, "coarse", coarse - 0.1),
            figure("truth", damping, "fine", 0.1, statistic="error"),
            figure("truth", damping, "coarse", 0.4, statistic="error"),
        ]
    query = {
        "index": 4,
        "label": "3",
        "predicted": "8",
        "loss": 1.5,
        "image": IMAGE,
        "helpful": [training_example(1, "3"), training_example(2, "5")],
        "harmful": [training_example(3, "8")],
    }
    return {
        "format": 1,
        "name": "example",
        "title": "An example",
        "setting": "Made by hand.",
        "facts": [["Queries", "20"]],
        "curvatures": [
            {"name": "truth", "family": "truth", "description": "the whole"},
            {"name": "fine", "family": "fine", "description": "nearly the whole"},
            {"name": "coarse", "family": "fine", "description": "a part"},
        ],
        "truth": "truth",
        "ladder": ["truth", "fine", "coarse"],
        "headline": {"damping": 1e-3, "curvature": "coarse", "statistic": "pearson"},
        "references": [
            {
                "name": "truth",
                "title": "agreement with the truth",
                "short": "the truth",
                "kind": "curvature",
                "caption": "A caption.",
                "chance": {"pearson": 0.0},
            },
            {
                "name": "up",
                "title": "doubling an example",
                "short": "doubling an example",
                "kind": "outcome",
                "caption": "Another caption.",
            },
        ],
        "statistics": [
            {"name": "pearson", "label": "Pearson r", "better": "higher"},
            {"name": "error", "label": "error", "better": "lower"},
        ],
        "agreement": figures,
        "contrasts": [contrast(1e-1, -0.06, -0.04), contrast(1e-3, -0.22, -0.18)],
        "steps": [
            step(1e-3, "fine", "pearson", 0.7, 0.02),
            step(1e-3, "fine", "error", 0.125, 0.0),
            step(1e-3, "coarse", "pearson", 0.5, 0.02),
            step(1e-1, "fine", "pearson", 0.9, 0.02),
        ],
        "traces": [
            {"seed": 0, "damping": d, "curvature": "fine", "steps": [1, 2, 4], "residuals": r}
            for d, r in ((1e-1, [0.5, 0.2, 0.1]), (1e-3, [0.9, 0.8, 0.7]))
        ],
        "scatter": [
            {
                "seed": 0,
                "reference": "up",
                "damping": 1e-3,
                "pairs": 100,
                "measured": [0.01, -0.2, 0.0, 0.3],
                "predicted": {"truth": [0.01, -0.21, 0.0, 0.29], "coarse": [0.1, 0.2, 0.0, -0.3]},
            }
        ],
        "responses": [response(1e-1, [True] * 4), response(1e-3, [True, False, True, True])],
        "solves": [
            {
                "seed": 0,
                "damping": 1e-3,
                "curvature": "fine",
                "solves": 20,
                "missed": 0,
                "backward_error": 1e-16,
                "tolerance": 1e-14,
            }
        ],
        "gallery": {
            "seed": 0,
            "curvature": "truth",
            "other": "coarse",
            "damping": 1e-3,
            "threshold": 0.01,
            "notable": 7,
            "queries_total": 20,
            "chosen": "One is shown.",
            "queries": [query],
        },
        "top_examples": [top("most helpful", (70, 65, 75)), top("most harmful", (50, 45, 55))],
        "provenance": {"seeds": "0", "libraries": {"torch": "2"}},
    }


def passage(index: int, influence: list[float], **more: Any) -> dict[str, Any]:
    record = {
        "index": index,
        "source": "with, 64",
        "change": sum(influence),
        "loss": 1.25,
        "lead": "a",
        "tokens": ["<", "b", "\n", "&"],
        "influence": influence,
        "shared": False,
    }
    return record | more


@pytest.fixture
def passages() -> Any:
    """Two queries on text that would break a careless page; the second has no passages."""
    query = {
        "index": 4,
        "prompt": "if x <",
        "completion": " y &",
        "log_likelihood": -3.5,
        "source": "class, 128",
        "helpful": [
            passage(1, [0.05, 0.0, 0.0125, -0.005], shared=True),
            passage(2, [0.011, 0.0, 0.0, 0.0], source=""),
        ],
        "harmful": [passage(3, [-0.1, 0.02, 0.0, 0.0], source="with, 32")],
    }
    silent = query | {"index": 5, "prompt": "def ", "source": "", "helpful": [], "harmful": []}
    return {
        "seed": 0,
        "curvature": "truth",
        "other": "coarse",
        "damping": 1e-3,
        "threshold": 0.01,
        "notable": 7,
        "queries_total": 16,
        "chosen": "Two are shown.",
        "queries": [query, silent],
    }


@pytest.fixture
def claims() -> Any:
    """One claim of each verdict."""
    rows = {
        "confirmed": ("tokens & their <sums> matter", "r: 0.03 [0.02 … 0.04]", 0.03),
        "not confirmed": ("it is | it was", "0 of 16", 0.0),
        "undecided": ("digits are sloppier", "52 [48 … 56]", 52.0),
        "not measured": ("larger models differ", "", None),
    }
    return [
        {
            "claim": claim,
            "source": "a paper",
            "measured": measured,
            "value": value,
            "low": value,
            "high": value,
            "verdict": verdict,
            "detail": f"how: {verdict}",
        }
        for verdict, (claim, measured, value) in rows.items()
    ]

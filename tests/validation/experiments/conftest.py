"""A small softmax MLP on noise, and the ladder of it as a study saves it."""

from typing import Any

import pytest
import torch

import refimpl as ri
from refimpl.rungs.setting import Setting
from validation.experiments import ladder
from validation.parts.saved import Result, plain

LADDER: dict[str, Any] = {
    "seed": 0,
    "train": 40,
    "queries": 6,
    "examples": 12,
    "top": 3,
    "headline": 1.0,
    "notable": 1e-4,
    "quasi_newton_trials": 400,
    "dampings": [10.0, 1.0],
    "groups": ["wider", "Kronecker", "labels", "empirical", "diagonal", "identity"],
    "retrained": {"+": [10.0, 1.0], "-": [1.0]},
}


@pytest.fixture(scope="session")
def config() -> dict[str, Any]:
    return LADDER


@pytest.fixture(scope="session")
def setting() -> Setting:
    """A small softmax MLP on noise."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    model = torch.nn.Sequential(
        torch.nn.utils.skip_init(torch.nn.Linear, 4, 3, dtype=torch.float64),
        torch.nn.Tanh(),
        torch.nn.utils.skip_init(torch.nn.Linear, 3, 3, dtype=torch.float64),
    )
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(noise(*p.shape))
    labels = torch.arange(46) % 3
    inputs = noise(46, 4)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), inputs[:40], labels[:40])
    return Setting(problem, inputs[40:], labels[40:])


@pytest.fixture(scope="session")
def ladder_of(setting: Setting) -> Any:
    """From a configuration, and a choice of parts by name, to their results as a study reads them."""

    def computed(config: dict[str, Any], wanted: tuple[str, ...] = ("exact", "fits/")) -> Any:
        results = {"train": Result({})}
        for part in ladder.parts_of(lambda c, e: setting, config):
            if part.name.startswith(wanted):
                earlier = {need: results[need] for need in part.needs}
                values, arrays = part.work(config, earlier)
                results[part.name] = Result(plain(values), arrays)
        return results

    return computed


@pytest.fixture(scope="session")
def scores(ladder_of: Any, config: dict[str, Any]) -> dict[str, Result]:
    """Every curvature's scores at both dampings, by part."""
    return ladder_of(config)

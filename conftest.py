"""What every test and doctest runs under: enforced shapes, one random state, a hypothesis profile.

At the root and not in tests/, so that `pytest refimpl` runs its doctests under the same rules.
"""

import os
import random
from collections.abc import Iterator

import pytest
import rich.style  # noqa: F401 - its import, torch's compiler's too, draws from Python's generator
from hypothesis import HealthCheck, Phase, settings
from jaxtyping import install_import_hook

# Before anything imports them: beartype checks every annotation of both packages.
install_import_hook(["refimpl", "validation"], "typechecker.checked")

pytest_plugins = ["pytester", "evidence"]

import numpy as np  # noqa: E402
import torch  # noqa: E402

# The matrices are small, xdist has the cores, and sums come out the same on every machine.
torch.set_num_threads(1)

_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=15, **_SHARED)
settings.register_profile("ci", max_examples=30, derandomize=True, **_SHARED)
# For mutation testing: fewer, always the same, and no search for a smaller counterexample.
_PHASES = (Phase.explicit, Phase.generate)
settings.register_profile(
    "mutants", max_examples=10, derandomize=True, database=None, phases=_PHASES, **_SHARED
)
settings.register_profile("deep", max_examples=2000, **_SHARED)
settings.load_profile(
    os.environ.get("REFIMPL_PROFILE") or ("ci" if os.environ.get("CI") else "quick")
)


def _global_state() -> dict[str, object]:
    numpy_state = np.random.get_state(legacy=False)
    return {
        "Python's random state": random.getstate(),
        "numpy's random state": (
            numpy_state["state"]["key"].tobytes(),
            {**numpy_state, "state": numpy_state["state"]["pos"]},
        ),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's number of threads": torch.get_num_threads(),
    }


@pytest.fixture(autouse=True)
def global_state_is_left_alone() -> Iterator[None]:
    """Fail a test that moves what is global; give each the same fork of torch's generator.

    nn.Linear draws its weights from torch's global generator, so building a model moves it: tests
    may, in the fork. That refimpl itself never does is tests/problem/test_global_state.py's claim.
    """
    before = _global_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    after = _global_state()
    moved = [name for name in before if before[name] != after[name]]
    assert not moved, f"this test changed {', '.join(moved)}: use a generator, or put it back"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The studies first: a process that steals half of a module runs its fixture, a minute, again.

    It steals from the end of the list, where cheap tests stand then.
    """
    items.sort(key=lambda item: "studies" not in item.path.parts)

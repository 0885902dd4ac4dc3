"""Shapes are enforced, hypothesis has three profiles, and every test starts from one random state."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Before anything imports them: every jaxtyping annotation is checked by beartype while tests run.
install_import_hook(["refimpl", "validation"], "beartype.beartype")

import torch  # noqa: E402

_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=15, **_SHARED)
settings.register_profile("ci", max_examples=60, derandomize=True, **_SHARED)
settings.register_profile("deep", max_examples=2000, **_SHARED)
_PROFILE = os.environ.get("REFIMPL_PROFILE") or ("ci" if os.environ.get("CI") else "quick")
settings.load_profile(_PROFILE)


@pytest.fixture(autouse=True)
def every_test_starts_alike() -> Iterator[None]:
    """The same random state for every test, in whatever order they run; nothing leaks out of one."""
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    assert torch.get_default_dtype() == dtype

"""Models: their shape and their initialisation."""

import pytest
import torch

from validation.models import mlp


def test_an_mlp_has_its_layers_and_no_activation_at_the_end() -> None:
    model = mlp([64, 32, 10], torch.Generator().manual_seed(0))
    assert [type(m).__name__ for m in model] == ["Linear", "Tanh", "Linear"]
    assert sum(p.numel() for p in model.parameters()) == 64 * 32 + 32 + 32 * 10 + 10
    assert model(torch.zeros(3, 64, dtype=torch.float64)).shape == (3, 10)
    assert not model[0].bias.any()


def test_a_generator_fixes_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        return mlp([4, 3, 2], torch.Generator().manual_seed(seed))[2].weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_weights_have_variance_one_over_inputs() -> None:
    weights = mlp([400, 1000], torch.Generator().manual_seed(0))[0].weight.detach()
    # uniform on [-b, b]: variance b^2 / 3, and its estimate from n draws has the relative standard
    # deviation sqrt((9/5 - 1) / n); five of them
    assert float(400 * weights.var()) == pytest.approx(1.0, abs=5 * (0.8 / 4e5) ** 0.5)

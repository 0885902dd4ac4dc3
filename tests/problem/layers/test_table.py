"""Which modules are seen as which layer, and what registering a type changes."""

import sys
from pathlib import Path

import pytest
from torch import Tensor, nn

import refimpl as ri
from refimpl.problem import layers
from refimpl.problem.layers import Conv2d, Linear
from refimpl.problem.layers.table import layer_of, layer_type, supported_types


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Renamed(nn.Linear):
    """Computes what a Linear does."""


def test_only_what_computes_exactly_a_linear_or_conv2d_from_its_own_parameters_is_supported():
    for module in (nn.Linear(1, 1), Renamed(1, 1), nn.Linear(1, 1, bias=False)):
        assert layer_type(module) is Linear
    assert layer_type(nn.Conv2d(1, 1, 1)) is Conv2d
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    others = (Doubled(1, 1), nn.Conv1d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1), nn.Tanh(), normed)
    for module in others:
        assert layer_type(module) is None
        with pytest.raises(ValueError, match=r"cannot be tracked: only .*torch.nn.Linear"):
            layer_of(module)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registrations of a test end with it."""
    monkeypatch.setattr("refimpl.problem.layers.table._TABLE", {nn.Linear: Linear})


@pytest.mark.usefixtures("table")
def test_a_subclass_with_a_forward_of_its_own_is_seen_only_once_it_is_registered():
    class Twice(Doubled):
        pass

    @ri.register_layer(Doubled)
    class DoubledLayer(Linear):
        pass

    assert layer_type(Doubled(1, 1)) is layer_type(Twice(1, 1)) is DoubledLayer
    assert layer_type(Renamed(1, 1)) is Linear
    assert supported_types() == f"torch.nn.Linear, {Doubled.__module__}.Doubled"


@pytest.mark.usefixtures("table")
def test_registering_a_subclass_that_keeps_its_forward_leaves_the_others_as_they_were():
    @ri.register_layer(Renamed)
    class RenamedLayer(Linear):
        pass

    assert layer_type(Renamed(1, 1)) is RenamedLayer
    assert layer_type(nn.Linear(1, 1)) is Linear
    again = ri.register_layer(Renamed)(Linear)  # the later one holds
    assert layer_type(Renamed(1, 1)) is again


@pytest.mark.usefixtures("table")
def test_a_file_of_the_folder_is_found_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "added_by_a_test.py").write_text(
        "from torch import nn\n"
        "from refimpl.problem.layers.linear import Linear\n"
        "from refimpl.problem.layers.table import register_layer\n\n"
        "@register_layer(nn.Bilinear)\n"
        "class Bilinear(Linear):\n"
        "    pass\n"
    )
    monkeypatch.setattr(layers, "__path__", [*layers.__path__, str(tmp_path)])
    layers.import_layers()
    monkeypatch.delitem(sys.modules, "refimpl.problem.layers.added_by_a_test")
    assert layer_type(nn.Bilinear(1, 1, 1)).__name__ == "Bilinear"

"""Layers found by name in the plain list that makes up a model."""

import pytest

from refimpl.oracle.question.network import LayerSpec, layer_named, linear_names

INNER: LayerSpec = {"op": "conv2d", "name": "inner", "bias": False, "groups": 2}
LAYERS: tuple[LayerSpec, ...] = (
    {"op": "call", "name": "first"},
    {"op": "linear", "name": "first", "bias": True},
    {"op": "residual", "body": [{"op": "relu"}, {"op": "residual", "body": [INNER]}]},
    {"op": "linear", "name": "twin", "bias": True, "like": "first"},
)


def test_a_layer_is_found_by_its_name_and_never_a_call_of_it() -> None:
    assert layer_named(LAYERS, "first") is LAYERS[1]


def test_layers_are_found_inside_residuals() -> None:
    assert layer_named(LAYERS, "inner") is INNER
    assert linear_names(LAYERS) == ["first", "inner"]


def test_a_name_that_no_layer_has_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no layer 'other'"):
        layer_named(LAYERS, "other")

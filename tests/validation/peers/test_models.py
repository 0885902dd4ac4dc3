"""What adapters know of models: gradients, calls, ties, linearity."""

import numpy as np
import pytest

from refimpl.oracle.cases import all_cases
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.network import linear_names
from refimpl.oracle.torch import TorchAdapter
from validation.peers.models import calls, gradients, linear_in_parameters, tied

ALL = list(all_cases().values())


def made(*layers, tracked=None) -> Case:
    """A case of these layers on four inputs; every linear layer is 4 x 4."""
    random = np.random.default_rng(0)
    parameters = {}
    for name in linear_names(layers):
        parameters |= {
            f"{name}.weight": random.standard_normal((4, 4)),
            f"{name}.bias": random.standard_normal(4),
        }
    return ALL[0].but(
        id="made/here",
        layers=layers,
        parameters=parameters,
        tracked=tuple(tracked or linear_names(layers)),
        inputs=random.standard_normal((3, 4)),
        labels=np.array([0, 1, 2]),
    )


def linear(name, **options):
    return {"op": "linear", "name": name, "bias": True, **options}


@pytest.mark.parametrize("case", ALL, ids=lambda c: c.id)
def test_gradients_by_torch_are_those_of_the_problem(case):
    adapter = TorchAdapter()
    flat = adapter.vectors(case, gradients(case, adapter.training(case)))
    right = case.problem.gradients().numpy()
    # Two ways of the same float64 sums: a modest multiple of roundoff, over the largest entry.
    assert np.abs(flat - right).max() <= 1e-12 * (1 + np.abs(right).max())


def test_calls_are_counted_where_they_stand():
    case = made(linear("a"), {"op": "tanh"}, {"op": "call", "name": "a"}, linear("b"))
    assert calls(case) == {"a": 2, "b": 1}
    inside = made({"op": "residual", "body": ({"op": "call", "name": "a"},)}, linear("a"))
    assert calls(inside) == {"a": 2}


def test_a_shared_parameter_is_noticed():
    assert tied(made(linear("a"), linear("b", like="a")))
    assert not tied(made(linear("a"), {"op": "call", "name": "a"}))


def test_outputs_are_linear_in_the_last_layer_and_in_nothing_else():
    layers = linear("a"), {"op": "tanh"}, linear("b"), {"op": "identity"}
    assert linear_in_parameters(made(*layers, tracked=["b"]))
    assert not linear_in_parameters(made(*layers, tracked=["a"]))
    assert not linear_in_parameters(made(*layers))
    assert not linear_in_parameters(made(linear("b"), {"op": "call", "name": "b"}))


def test_a_module_built_anew_is_not_touched():
    case = ALL[0]
    before = {n: a.copy() for n, a in case.parameters.items()}
    gradients(case, TorchAdapter().queries(case))
    assert all(np.array_equal(before[n], a) for n, a in case.parameters.items())

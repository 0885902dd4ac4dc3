"""Which layers of a model are tracked: the order asked for, shared parameters, and refusals."""

import pytest
from torch import Tensor, nn

from refimpl.problem.layers.selection import tracked_modules


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def named(model: nn.Module, layers) -> list[list[str]]:
    return [list(group) for group in tracked_modules(model, layers)]


def test_layers_come_in_the_order_asked_for_and_once_each():
    model = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Linear(1, 1), "c1": nn.Linear(1, 1)})
    model["n"] = nn.LayerNorm(1)
    assert named(model, None) == [["a"], ["b"], ["c1"]]
    assert named(model, ["c*", "a"]) == [["c1"], ["a"]]
    assert named(model, ["b", "[abc]*"]) == [["b"], ["a"], ["c1"]]
    assert named(nn.Linear(1, 1), None) == [[""]]


def test_modules_that_share_all_their_parameters_are_one_layer():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    b.weight, b.bias = a.weight, a.bias
    model = nn.Sequential(a, nn.Tanh(), b, a)  # module 3 is module 0 again
    assert named(model, None) == [["0", "2"]]
    assert named(model, ["2"]) == named(model, ["3"]) == [["0", "2"]]


def test_modules_that_share_a_part_or_use_it_otherwise_are_refused():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    b.bias = a.bias
    with pytest.raises(ValueError, match=r"'0' and '1' \(Linear\) share a parameter but not all"):
        tracked_modules(nn.Sequential(a, b), None)
    a, doubled = nn.Linear(2, 2), Doubled(2, 2)
    doubled.weight, doubled.bias = a.weight, a.bias
    with pytest.raises(ValueError, match=r"'0' and '1' \(Doubled\) share .* use it differently"):
        tracked_modules(nn.Sequential(a, doubled), None)

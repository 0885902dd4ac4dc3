"""Rows times [W | b] are the layer's own output, and the layout says where everything is."""

import pytest
import torch
from hypothesis import assume, given, strategies as st
from models import CASES, Convolutional, Tied
from torch import nn

import refimpl as ri
from refimpl.layers import input_rows, output_rows
from refimpl.layout import Layer, ParameterLayout

U = torch.finfo(torch.float64).eps / 2


def by_rows(module: nn.Module, a: torch.Tensor) -> torch.Tensor:
    rows = input_rows(module, a, len(a))  # [N, G, R, I]
    groups = rows.shape[1]
    matrix = module.weight.reshape(groups, module.weight.shape[0] // groups, -1)
    if module.bias is not None:
        matrix = torch.cat([matrix, module.bias.reshape(groups, -1, 1)], dim=2)
    return rows @ matrix.mT


# torch warns that padding "same" copies the input of an even kernel
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@given(
    st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    st.tuples(st.integers(1, 2), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.one_of(st.sampled_from(["same", "valid"]), st.tuples(st.integers(0, 2), st.integers(0, 2))),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from([(2, 4, 1), (2, 4, 2), (3, 3, 3), (4, 2, 2)]),
    st.booleans(),
)
def test_convolutions_are_matrices_on_patches(mode, stride, kernel, padding, dilation, sizes, bias):
    channels, outputs, groups = sizes
    if padding == "same":
        stride = (1, 1)
    module = nn.Conv2d(
        channels, outputs, kernel, stride=stride, padding=padding, dilation=dilation,
        groups=groups, bias=bias, padding_mode=mode,
    ).double()  # fmt: skip
    a = torch.randn(2, channels, 5, 6, dtype=torch.float64)
    try:
        s = module(a)
    except RuntimeError:
        assume(False)
    error = (by_rows(module, a) - output_rows(module, s, 2)).abs().max()
    assert error <= 100 * U * a.abs().max() * module.weight.abs().sum()


@given(st.lists(st.integers(1, 3), max_size=3), st.booleans())
def test_linear_layers_act_on_the_last_axis(lead, bias):
    module = nn.Linear(3, 4, bias=bias).double()
    a = torch.randn(2, *lead, 3, dtype=torch.float64)
    error = (by_rows(module, a) - output_rows(module, module(a), 2)).abs().max()
    assert error <= 30 * U * (1 + a.abs().max())


@pytest.mark.parametrize("name", CASES)
def test_the_layout_goes_there_and_back(name):
    model, _ = CASES[name]
    named = dict(model.named_parameters())
    modules: dict[str, dict[str, nn.Module]] = {}
    for key, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            modules.setdefault(str(id(module.weight)), {})[key] = module
    layout = ParameterLayout([Layer.of(group) for group in modules.values()])
    flat = layout.from_named(named)
    assert layout.num_parameters == len(flat) == sum(p.numel() for p in named.values())
    for key, value in layout.named(flat).items():
        assert torch.equal(value, model.get_parameter(key))
    assert torch.equal(layout.flatten(layout.matrices(flat)), flat)
    batch = torch.stack([flat, 2 * flat])
    assert torch.equal(layout.flatten(layout.matrices(batch)), batch)
    assert torch.equal(layout.from_named(layout.named(batch)), batch)


def test_the_flat_vector_is_layer_by_layer_the_rows_of_weight_and_bias():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0], [4.0, 5.0]]))
        model[0].bias.copy_(torch.tensor([3.0, 6.0]))
        model[1].weight.copy_(torch.tensor([[7.0, 8.0]]))
    x, y = torch.ones(1, 2), torch.ones(1, 1)
    problem = ri.Problem(model, ri.losses.SquaredError(), x, y)
    assert problem.parameters.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    turned = ri.Problem(model, ri.losses.SquaredError(), x, y, layers=["1", "0"])
    assert turned.parameters.tolist() == [7, 8, 1, 2, 3, 4, 5, 6]


def test_groups_are_blocks_of_their_own_and_sharing_modules_are_one():
    x, y = torch.randn(2, 2, 5, 5), torch.zeros(2, 3)
    problem = ri.Problem(Convolutional(), ri.losses.SquaredError(), x, y)
    names = [b.name for b in problem.layout.blocks]
    assert names == ["a", "b[0]", "b[1]", "head"]
    tied = ri.Problem(Tied(), ri.losses.SquaredError(), torch.randn(2, 3), torch.zeros(2, 2))
    assert [b.name for b in tied.layout.blocks] == ["a", "head"]
    assert set(tied.layout.named(tied.parameters)) == {
        "a.weight", "a.bias", "b.weight", "b.bias", "head.weight", "head.bias"
    }  # fmt: skip


def test_vectors_of_another_length_and_missing_parameters_are_refused():
    problem = ri.Problem(
        nn.Linear(2, 1), ri.losses.SquaredError(), torch.ones(1, 2), torch.ones(1, 1)
    )
    with pytest.raises(ValueError, match="length P=3"):
        problem.layout.matrices(torch.zeros(4))
    with pytest.raises(ValueError, match="is missing"):
        problem.layout.from_named({"weight": torch.zeros(1, 2)})
    with pytest.raises(ValueError, match="no matrix for the blocks"):
        problem.layout.flatten({})

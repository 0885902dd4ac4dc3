"""The flat vector, the matrices [W | b] and the named parameters are the same numbers in one order."""

import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from refimpl.problem.layers.selection import tracked_modules
from refimpl.problem.layout import ParameterLayout, TrackedLayer


def layout_of(model: nn.Module, layers: list[str] | None = None) -> ParameterLayout:
    return ParameterLayout([TrackedLayer.of(m) for m in tracked_modules(model, layers)])


@st.composite
def models(draw: st.DrawFn) -> tuple[nn.Module, list[str]]:
    """Linears and convolutions with parameters of their own or shared, and an order to track them in."""
    size, flag = st.integers(1, 3), st.booleans()
    parts: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        if draw(flag):
            parts.append(nn.Linear(draw(size), draw(size), bias=draw(flag)))
        else:
            groups = draw(size)
            shape = (groups * draw(size), groups * draw(size), (draw(size), draw(size)))
            parts.append(nn.Conv2d(*shape, groups=groups, bias=draw(flag)))
        if draw(flag):
            parts.append(nn.Tanh())
    if draw(flag):
        parts.append(parts[0])  # the same module again
    if draw(flag):
        first = parts[0]
        twin = nn.Linear(1, 1) if isinstance(first, nn.Linear) else nn.Conv2d(1, 1, 1)
        twin.weight, twin.bias = first.weight, first.bias
        parts.append(twin)
    model = nn.Sequential(*parts)
    names = [name for name, part in model.named_children() if not isinstance(part, nn.Tanh)]
    return model, draw(st.permutations(names))


def vectors(layout: ParameterLayout, *lead: int) -> torch.Tensor:
    return torch.randn(*lead, layout.num_parameters)


@given(models(), st.lists(st.integers(1, 2), max_size=2))
def test_flat_vectors_survive_the_round_trips(case, lead):
    layout = layout_of(*case)
    flat = vectors(layout, *lead)
    assert torch.equal(layout.flatten(layout.matrices(flat)), flat)
    assert torch.equal(layout.from_named(layout.named(flat)), flat)


@given(models())
def test_the_order_is_layer_by_layer_in_the_order_asked_for_and_row_major_in_w_and_b(case):
    model, order = case
    layout = layout_of(model, order)
    named = dict(model.named_parameters(remove_duplicate=False))
    seen, parts = set(), []
    for name in order:
        module = model.get_submodule(name)
        if id(module.weight) in seen:
            continue
        seen.add(id(module.weight))
        for row in range(module.weight.shape[0]):
            parts.append(module.weight[row].reshape(-1))
            if module.bias is not None:
                parts.append(module.bias[row : row + 1])
    flat = torch.cat(parts)
    assert torch.equal(layout.from_named(named), flat)
    assert layout.num_parameters == sum(p.numel() for p in model.parameters())
    back = layout.named(flat)
    assert back.keys() >= {name for name, _ in model.named_parameters()}
    for name, value in back.items():
        assert torch.equal(value, named[name])


@given(models())
def test_blocks_tile_the_vector_and_are_its_matrices(case):
    layout = layout_of(*case)
    flat = vectors(layout)
    assert [b.start for b in layout.blocks] == [0, *(b.stop for b in layout.blocks)][:-1]
    assert layout.blocks[-1].stop == layout.num_parameters
    assert len({b.name for b in layout.blocks}) == len(layout.blocks)
    matrices = layout.matrices(flat)
    for b in layout.blocks:
        assert torch.equal(matrices[b.name].reshape(-1), flat[b.slice])
        assert matrices[b.name].shape == (b.outputs, b.inputs)


def test_a_grouped_convolution_is_one_block_a_group():
    conv = nn.Conv2d(4, 6, 3, groups=2)
    layout = layout_of(nn.Sequential(nn.Linear(3, 2), conv))
    assert [b.name for b in layout.blocks] == ["0", "1[0]", "1[1]"]
    assert [(b.outputs, b.inputs, b.bias, b.layer) for b in layout.blocks[1:]] == [
        (3, 19, True, "1")
    ] * 2
    flat = layout.from_named(
        {
            "0.weight": torch.zeros(2, 3),
            "0.bias": torch.zeros(2),
            "1.weight": conv.weight,
            "1.bias": conv.bias,
        }
    )
    second = layout.matrices(flat)["1[1]"]
    assert torch.equal(second[:, :-1], conv.weight[3:].reshape(3, -1))
    assert torch.equal(second[:, -1], conv.bias[3:])


def test_a_model_that_is_itself_a_layer_has_parameters_without_a_prefix():
    model = nn.Linear(2, 3)
    layout = layout_of(model)
    flat = layout.from_named(dict(model.named_parameters()))
    assert {k: v.shape for k, v in layout.named(flat).items()} == {"weight": (3, 2), "bias": (3,)}
    assert repr(layout) == "ParameterLayout(: 3x3; P=9)"


def test_shared_parameters_are_named_once_for_every_holder():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    b.weight, b.bias = a.weight, a.bias
    layout = layout_of(nn.Sequential(a, b))
    named = layout.named(vectors(layout))
    assert sorted(named) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    assert torch.equal(named["0.weight"], named["1.weight"])
    second = {k: v for k, v in named.items() if k.startswith("1")}
    assert torch.equal(layout.from_named(second), layout.from_named(named))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda lay, v: lay.matrices(v[:-1]), "length P=10, got shape \\(9,\\)"),
        (lambda lay, v: lay.named(v[:-1]), "length P=10"),
        (lambda lay, v: lay.flatten({"0": v[:6].reshape(2, 3)}), "no matrix for block '1'"),
        (
            lambda lay, v: lay.flatten({"0": v[:6].reshape(3, 2), "1": v[6:].reshape(2, 2)}),
            "'0' is 2 x 3",
        ),
        (lambda lay, v: lay.from_named({"0.weight": v[:4].reshape(2, 2)}), "'0.bias' is missing"),
        (
            lambda lay, v: lay.from_named({"0.weight": v[:6].reshape(3, 2), "0.bias": v[:3]}),
            r"\(2, 2\)",
        ),
    ],
)
def test_what_does_not_fit_the_layout_is_refused(call, message):
    layout = layout_of(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False)))
    with pytest.raises(ValueError, match=message):
        call(layout, vectors(layout))

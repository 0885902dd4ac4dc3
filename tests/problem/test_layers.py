"""A layer's output is its rows of inputs times [W | b], whatever the layer's options."""

import pytest
import torch
from hypothesis import assume, given, strategies as st
from torch import Tensor, nn

from refimpl.problem.layers.tracked import (
    groups_of,
    input_rows,
    is_supported,
    output_rows,
    resolve_layers,
)

U = torch.finfo(torch.float64).eps / 2


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Conv2d, Tensor]:
    """A Conv2d with any options, depthwise among them, and an input that it accepts."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    kernel, dilation = draw(pair), draw(pair)
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    padding = draw(
        st.one_of(st.sampled_from(["same", "valid"]), st.tuples(*[st.integers(0, 2)] * 2))
    )
    stride = (1, 1) if padding == "same" else draw(pair)
    layer = nn.Conv2d(
        groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), kernel,
        stride=stride, padding=padding, dilation=dilation, groups=groups,
        bias=draw(st.booleans()), padding_mode=mode,
    ).double()  # fmt: skip
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [draw(st.integers(r, r + 3)) for r in reach]
    # torch itself refuses to pad by as much as an axis holds (reflect) or more (circular)
    assume(
        mode in ("zeros", "replicate") or max(layer._reversed_padding_repeated_twice) < min(size)
    )
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    a = torch.randn(draw(st.integers(1, 3)), layer.in_channels, *size, generator=g).double()
    return layer, a


def maps(layer: nn.Module) -> Tensor:
    """[W | b] of each of the layer's maps, [G, O, I]."""
    W = layer.weight.reshape(layer.weight.shape[0], -1)
    if layer.bias is not None:
        W = torch.cat([W, layer.bias[:, None]], dim=1)
    return W.reshape(groups_of(layer), -1, W.shape[1])


def assert_rows_give_the_output(layer: nn.Module, a: Tensor, examples: int) -> None:
    rows, out = input_rows(layer, a, examples), output_rows(layer, layer(a), examples)
    W = maps(layer)
    product = torch.einsum("ngri,goi->ngro", rows, W)
    bound = torch.einsum("ngri,goi->ngro", rows.abs(), W.abs())
    assert rows.shape[0] == examples
    assert product.shape == out.shape
    # two sums of the same I products: each within I u of the sum of magnitudes
    assert bool(((product - out).abs() <= 2 * (rows.shape[-1] + 2) * U * bound).all())


# torch's word about the cost of padding an even kernel
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@given(convolutions(), st.integers(1, 2))
def test_patches_times_the_matrix_are_the_convolution(case, folded):
    layer, a = case
    assert_rows_give_the_output(layer, a, len(a))
    # `folded` images of each example next to one another on the leading axis
    assert_rows_give_the_output(layer, a.repeat_interleave(folded, dim=0), len(a))


@given(st.integers(1, 3), st.lists(st.integers(1, 3), max_size=3), st.booleans(), st.integers(1, 3))
def test_rows_of_a_linear_are_its_tokens(examples, tokens, bias, width):
    layer = nn.Linear(width, 2, bias=bias).double()
    a = torch.randn(examples, *tokens, width).double()
    assert_rows_give_the_output(layer, a, examples)
    folded = a.reshape(-1, width)  # examples times tokens on one axis
    assert torch.equal(input_rows(layer, folded, examples), input_rows(layer, a, examples))
    assert input_rows(layer, a, examples).shape[-1] == width + bias


@pytest.mark.parametrize("shape", [(5, 3), (3,), (0, 3), ()])
def test_a_leading_axis_that_cannot_hold_the_examples_is_refused(shape):
    layer = nn.Linear(3, 3)
    for rows in (input_rows, output_rows):
        with pytest.raises(ValueError, match="first axis is not the 3 examples"):
            rows(layer, torch.zeros(shape), 3)


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Renamed(nn.Linear):
    """Computes what a Linear does."""


def test_only_what_computes_exactly_a_linear_or_conv2d_from_its_own_parameters_is_supported():
    assert all(is_supported(m) for m in (nn.Linear(1, 1), nn.Conv2d(1, 1, 1), Renamed(1, 1)))
    assert is_supported(nn.Linear(1, 1, bias=False))
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    others = (Doubled(1, 1), nn.Conv1d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1), nn.Tanh(), normed)
    assert not any(is_supported(m) for m in others)


def named(model: nn.Module, layers) -> list[list[str]]:
    return [list(group) for group in resolve_layers(model, layers)]


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
        resolve_layers(nn.Sequential(a, b), None)
    a, doubled = nn.Linear(2, 2), Doubled(2, 2)
    doubled.weight, doubled.bias = a.weight, a.bias
    with pytest.raises(ValueError, match=r"'0' and '1' \(Doubled\) share .* use it differently"):
        resolve_layers(nn.Sequential(a, doubled), None)

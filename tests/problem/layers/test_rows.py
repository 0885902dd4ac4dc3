"""A layer's output is its rows of inputs times [W | b], whatever the layer's options."""

import pytest
import torch
from hypothesis import assume, given, strategies as st
from torch import Tensor, nn

from refimpl.problem.layers.table import layer_of

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
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 2)),
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=mode,
    ).double()
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [draw(st.integers(r, r + 3)) for r in reach]
    # torch itself refuses to pad by as much as an axis holds (reflect) or more (circular)
    assume(
        mode in ("zeros", "replicate") or max(layer._reversed_padding_repeated_twice) < min(size)
    )
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    a = torch.randn(draw(st.integers(1, 3)), layer.in_channels, *size, generator=g).double()
    return layer, a


def assert_rows_give_the_output(module: nn.Module, a: Tensor, examples: int) -> None:
    layer = layer_of(module)
    rows, out = layer.example_inputs(a, examples), layer.example_outputs(module(a), a, examples)
    W = layer.matrices(dict(module.named_parameters()))
    assert tuple(W.shape) == layer.sizes
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
    rows = layer_of(layer).example_inputs
    folded = a.reshape(-1, width)  # examples times tokens on one axis
    assert torch.equal(rows(folded, examples), rows(a, examples))
    assert rows(a, examples).shape[-1] == width + bias


@pytest.mark.parametrize("shape", [(5, 3), (3,), (0, 3), ()])
def test_a_leading_axis_that_cannot_hold_the_examples_is_refused(shape):
    layer, tensor = layer_of(nn.Linear(3, 3)), torch.zeros(shape)
    for rows in (layer.example_inputs, lambda s, n: layer.example_outputs(s, s, n)):
        with pytest.raises(ValueError, match="first axis is not the 3 examples"):
            rows(tensor, 3)

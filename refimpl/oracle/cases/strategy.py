"""Cases that hypothesis draws: the structure and a seed, so that what shrinks is a small structure."""

from typing import Any

from hypothesis import strategies as st

from refimpl.oracle.cases.draw import GELU, MIX, RELU, SOFTPLUS, TANH, Draw, pad
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.loss import LossSpec
from refimpl.oracle.question.network import LayerSpec

__all__ = ["drawn"]


@st.composite
def drawn(draw: Any, *, smooth: bool = False) -> Case:
    """A random perceptron, with or without tokens, padding, mixing, bias and options of the loss.

    Spectra are not certified: what depends on an eigensolver asks `Truth.gaps` first.

    Args:
        draw: hypothesis's `DrawFn`, a protocol that cannot be checked at runtime.
        smooth: Whether activations must be differentiable everywhere.
    """
    d = Draw("drawn/mlp", draw(st.integers(0, 2**31 - 1)))
    widths = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    tokens = draw(st.integers(0, 4))
    examples, bias = draw(st.integers(1, 8)), draw(st.booleans())
    activation = draw(st.sampled_from((TANH, SOFTPLUS, GELU) if smooth else (TANH, SOFTPLUS, RELU)))
    mixing = tokens > 1 and draw(st.booleans())
    layers: list[LayerSpec] = []
    for i, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True), start=1):
        layers.append(d.linear(f"fc{i}", before, after, bias=bias))
        if i < len(widths) - 1:
            layers += [activation, MIX] if mixing else [activation]
    lead = (examples + 2, tokens) if tokens else (examples + 2,)
    x = d.normal(*lead, widths[0], mean=0.5)
    kind = draw(st.sampled_from(("cross_entropy", "squared_error", "binary_cross_entropy")))
    options = draw(st.booleans())
    weights = tuple(0.5 + 0.5 * k for k in range(widths[-1])) if options else None
    if kind == "cross_entropy":
        y = d.classes(widths[-1], *lead)
        loss = LossSpec(kind, class_weight=weights, label_smoothing=0.125 if options else 0.0)
        if tokens:
            pad(x, y, draw(st.lists(st.integers(1, tokens), min_size=1, max_size=3)))
    elif kind == "squared_error":
        y, loss = d.normal(*lead, widths[-1]), LossSpec(kind)
    else:
        y = d.classes(2, *lead, widths[-1]).astype(float)
        loss = LossSpec(kind, pos_weight=weights)
    damping = draw(st.sampled_from((1e-2, 1.0, 1e-4)))
    batch = draw(st.integers(1, 5))
    return d.case(layers, x, y, loss=loss, queries=2, damping=damping, batch_size=batch)

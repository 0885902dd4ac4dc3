"""Random tiny Transformers with prompts and padding, for property-based tests."""

import torch
from hypothesis import strategies as st
from strategies import python_random_untouched

import refimpl as ri
from validation.models.networks import transformer

MLP = ["blocks.*.mlp.*"]


@st.composite
def sequences(
    draw: st.DrawFn, *, masked: bool = True, examples: tuple[int, int] = (1, 4)
) -> ri.Problem:
    """A decoder-only Transformer whose MLP layers are tracked, all else frozen.

    Args:
        draw: hypothesis's.
        masked: Whether sequences may be padded at the end and have prompts whose labels are ignored.
        examples: Least and greatest N.
    """
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    n, t = draw(st.integers(*examples)), draw(st.integers(1, 5))
    vocabulary, heads = draw(st.integers(2, 4)), draw(st.integers(1, 2))
    # Two numbers normalised are +1 and -1 whatever they were: from three on there is a gradient.
    width = 4 if heads == 2 else draw(st.integers(3, 4))
    model = transformer(
        vocabulary, width, heads, draw(st.integers(1, 2)), draw(st.integers(1, 4)), t, generator
    )
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms other than those of the start
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.2 * noise)
    ids = torch.randint(vocabulary, (n, t), generator=generator)
    labels = torch.randint(vocabulary, (n, t), generator=generator)
    mask = torch.ones(n, t, dtype=torch.bool)
    if masked:
        place = torch.arange(t)
        lengths = torch.tensor([draw(st.integers(1, t)) for _ in range(n)])[:, None]
        prompts = torch.tensor([draw(st.integers(0, t - 1)) for _ in range(n)])[:, None]
        mask = place < lengths
        labels = torch.where(mask & (place >= prompts), labels, -100)
    with python_random_untouched():
        return ri.Problem(model, ri.losses.CrossEntropy(), (ids, mask), labels, layers=MLP)

"""Small Transformers: frozen embedding, positions, attention and norms; the MLP and the head count."""

from refimpl.oracle.cases.cookbook import recipe
from refimpl.oracle.cases.draw import GELU, IGNORED, TANH, Draw, pool
from refimpl.oracle.question.case import Case
from refimpl.oracle.question.network import LayerSpec

WIDTH, VOCABULARY, LENGTH = 4, 6, 4


def _block(d: Draw, place: str = "", hidden: int = 3, *, bias: bool = True) -> list[LayerSpec]:
    """Attention and MLP, each behind a norm and beside a residual connection."""
    attend = [d.norm(f"norm1{place}", WIDTH), d.attention(f"attention{place}", WIDTH, 2)]
    mlp = [
        d.norm(f"norm2{place}", WIDTH),
        d.linear(f"up{place}", WIDTH, hidden, bias=bias),
        GELU,
        d.linear(f"down{place}", hidden, WIDTH, bias=bias),
    ]
    return [{"op": "residual", "body": attend}, {"op": "residual", "body": mlp}]


def _embedded(d: Draw) -> list[LayerSpec]:
    words = d.table("embedding", "embed", VOCABULARY, WIDTH)
    return [words, d.table("positions", "place", LENGTH, WIDTH)]


@recipe(
    "transformer/language-model",
    "Attention Residual FrozenLayers UnequalLengths TokenMixing IntegerInput",
)
def language_model(d: Draw) -> Case:
    """A label for every token, of unequal lengths."""
    layers = [*_embedded(d), *_block(d), d.norm("last", WIDTH), d.linear("head", WIDTH, 3)]
    x, y = d.classes(VOCABULARY, 13, LENGTH), d.classes(3, 13, LENGTH)
    for n in range(13):
        end = (4, 2, 3, 1)[n % 4]
        y[n, end:] = IGNORED
        x[n, end:] = VOCABULARY - 1  # the padding token is a word like any other
    return d.case(layers, x, y)


@recipe("transformer/mlp-only", "Attention Residual FrozenLayers EqualLengths IntegerInput")
def mlp_only(d: Draw) -> Case:
    """The head is frozen: what lies above a tracked layer still bends its curvature."""
    layers = [*_embedded(d), *_block(d), d.norm("last", WIDTH), d.linear("head", WIDTH, 4)]
    x, y = d.classes(VOCABULARY, 12, LENGTH), d.classes(4, 12, LENGTH)
    return d.case(layers, x, y, tracked=("up", "down"))


@recipe(
    "transformer/two-blocks",
    "Attention Residual FrozenLayers Deep NoBias IgnoredTokens IntegerInput",
)
def two_blocks(d: Draw) -> Case:
    """Two blocks without biases; the first token has no loss."""
    blocks = [*_embedded(d), *_block(d, "1", bias=False), *_block(d, "2", bias=False)]
    layers = [*blocks, d.linear("head", WIDTH, 3, bias=False)]
    x, y = d.classes(VOCABULARY, 12, LENGTH), d.classes(3, 12, LENGTH)
    y[:, 0] = IGNORED
    return d.case(layers, x, y)


@recipe("transformer/classifier", "Attention Residual FrozenLayers PooledPositions IntegerInput")
def classifier(d: Draw) -> Case:
    """One label a sequence: the mean over places is taken before the head."""
    layers = [*_embedded(d), *_block(d), pool(1), d.linear("head", WIDTH, 3), TANH]
    return d.case(layers, d.classes(VOCABULARY, 13, LENGTH), d.classes(3, 13))

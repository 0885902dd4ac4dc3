"""Models of the studies, built of torch modules, initialised from a generator of their own."""

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

__all__ = ["Transformer", "cnn", "mlp", "transformer"]


def mlp(
    sizes: Sequence[int],
    generator: torch.Generator,
    activation: type[nn.Module] = nn.Tanh,
    dtype: torch.dtype = torch.float64,
) -> nn.Sequential:
    """A multilayer perceptron; weights uniform with variance 1 / inputs (LeCun), biases zero.

    Args:
        sizes: Inputs, hidden units of each layer, outputs.
        generator: Source of the initial weights.
        activation: Between the linear layers.
        dtype: Of the parameters.
    """
    modules: list[nn.Module] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        # skip_init: torch's own initialisation would advance the global random state.
        layer = nn.utils.skip_init(nn.Linear, inputs, outputs, dtype=dtype)
        _lecun(layer, generator)
        modules += [layer, activation()]
    return nn.Sequential(*modules[:-1])


def cnn(
    channels: Sequence[int],
    outputs: int,
    generator: torch.Generator,
    side: int = 8,
    dtype: torch.dtype = torch.float64,
) -> nn.Sequential:
    """Convolutions of grey images, then a linear layer; initialised as `mlp` is.

    Each convolution is 3 x 3 with padding 1 and tanh; all but the first have stride 2 and so halve
    the image. Inputs may be flat: [N, side * side].

    Args:
        channels: Channels of each convolution.
        outputs: Of the linear layer.
        generator: Source of the initial weights.
        side: Pixels along each side of the images.
        dtype: Of the parameters.
    """
    modules: list[nn.Module] = [nn.Unflatten(-1, (1, side, side))]
    for k, (inputs, width) in enumerate(zip([1, *channels], channels, strict=False)):
        stride = 1 if k == 0 else 2
        layer = nn.utils.skip_init(
            nn.Conv2d, inputs, width, kernel_size=3, stride=stride, padding=1, dtype=dtype
        )
        _lecun(layer, generator)
        modules += [layer, nn.Tanh()]
        side = -(-side // stride)
    last = nn.utils.skip_init(nn.Linear, channels[-1] * side**2, outputs, dtype=dtype)
    _lecun(last, generator)
    return nn.Sequential(*modules, nn.Flatten(), last)


def _lecun(layer: nn.Linear | nn.Conv2d, generator: torch.Generator) -> None:
    """Weights uniform with variance 1 / inputs, biases zero."""
    bound = (3 / layer.weight[0].numel()) ** 0.5
    draws = torch.rand(layer.weight.shape, generator=generator, dtype=layer.weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(bound * (2 * draws - 1))
        if layer.bias is not None:
            layer.bias.zero_()


class Attention(nn.Module):
    """Causal attention of several heads, written out: softmax(Q K^T / sqrt(d)) V.

    Not torch's fused kernel, which has no forward derivative of its backward and no batching rule on
    every device: Jacobians, Hessian products and batched backward passes all go through here.
    """

    def __init__(self, width: int, heads: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.utils.skip_init(nn.Linear, width, 3 * width, dtype=dtype)
        self.out = nn.utils.skip_init(nn.Linear, width, width, dtype=dtype)

    def forward(
        self, x: Float[Tensor, "N T D"], allowed: Bool[Tensor, "#N 1 T T"]
    ) -> Float[Tensor, "N T D"]:
        """Attention output; `allowed` [n, 1, t, s]: whether token t looks at token s."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # Not masked_fill, which batched backward passes take one direction at a time.
        closed = torch.zeros_like(allowed, dtype=x.dtype).masked_fill(~allowed, -torch.inf)
        weights = (q / math.sqrt(q.shape[-1]) @ k.mT + closed).softmax(dim=-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm residual block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, mlp_width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, dtype=dtype)
        self.attention = Attention(width, heads, dtype)
        self.mlp_norm = nn.LayerNorm(width, dtype=dtype)
        self.mlp = nn.Sequential(
            OrderedDict(
                up=nn.utils.skip_init(nn.Linear, width, mlp_width, dtype=dtype),
                gelu=nn.GELU(),
                down=nn.utils.skip_init(nn.Linear, mlp_width, width, dtype=dtype),
            )
        )

    def forward(
        self, x: Float[Tensor, "N T D"], allowed: Bool[Tensor, "#N 1 T T"]
    ) -> Float[Tensor, "N T D"]:
        """The residual stream after this block."""
        x = x + self.attention(self.attention_norm(x), allowed)
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nn.Module):
    """A decoder-only Transformer over token numbers; `transformer` builds one with its weights."""

    def __init__(
        self,
        vocabulary: int,
        width: int,
        heads: int,
        layers: int,
        mlp_width: int,
        length: int,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.tokens = nn.utils.skip_init(nn.Embedding, vocabulary, width, dtype=dtype)
        self.positions = nn.utils.skip_init(nn.Embedding, length, width, dtype=dtype)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_width, dtype) for _ in range(layers))
        self.norm = nn.LayerNorm(width, dtype=dtype)
        self.unembedding = nn.utils.skip_init(nn.Linear, width, vocabulary, bias=False, dtype=dtype)

    def forward(
        self, ids: Int[Tensor, "N T"], attention_mask: Bool[Tensor, "N T"] | None = None
    ) -> Float[Tensor, "N T V"]:
        """Logits of the next token at every position.

        Args:
            ids: Token numbers, T at most the length that the model was built for.
            attention_mask: True at real tokens, False at padding, which comes after them; padding
                is not attended to (but by itself, so that its own rows stay finite).

        Raises:
            ValueError: The sequence is longer than the model's positions.
        """
        length, longest = ids.shape[1], self.positions.num_embeddings
        if length > longest:
            raise ValueError(f"a sequence of {length} tokens, the model has {longest} positions")
        causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        allowed = causal[None, None]
        if attention_mask is not None:
            itself = torch.eye(length, dtype=torch.bool, device=ids.device)
            allowed = allowed & (attention_mask[:, None, None, :] | itself)
        x = self.tokens(ids) + self.positions(torch.arange(length, device=ids.device))
        for block in self.blocks:
            x = block(x, allowed)
        return self.unembedding(self.norm(x))


def transformer(
    vocabulary: int,
    width: int,
    heads: int,
    layers: int,
    mlp_width: int,
    length: int,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> Transformer:
    """A pre-norm decoder-only Transformer in evaluation mode, without dropout or tied weights.

    Linear weights are normal with variance 1 / inputs, those that write to the residual stream
    1 / (2 layers inputs) (Radford et al. 2019, section 2.3); embeddings are normal with variance
    1/2 each, so that the stream begins with variance 1; biases are zero.

    Args:
        vocabulary: V, number of tokens.
        width: Of the residual stream; a multiple of `heads`.
        heads: Of each attention.
        layers: Number of blocks; `blocks.*.mlp.*` are the two Linear layers of each one's MLP.
        mlp_width: Hidden units of each MLP.
        length: Longest sequence.
        generator: Source of the initial weights.
        dtype: Of the parameters.

    Raises:
        ValueError: `width` is no multiple of `heads`.
    """
    if width % heads:
        raise ValueError(f"width {width} is no multiple of heads {heads}")
    model = Transformer(vocabulary, width, heads, layers, mlp_width, length, dtype)
    residual = {m for b in model.blocks for m in (b.attention.out, b.mlp.down)}
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                variance = 1 / module.in_features / (2 * layers if module in residual else 1)
                _normal(module.weight, variance, generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.Embedding):
                _normal(module.weight, 1 / 2, generator)
    return model.eval()


def _normal(weight: Float[Tensor, "O I"], variance: float, generator: torch.Generator) -> None:
    draws = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    weight.copy_(math.sqrt(variance) * draws)

"""Forward and backward passes of the pipeline, with hooks on every tracked layer."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from refimpl.oracle.pipeline.loss import LossMath, as_tokens
from refimpl.oracle.question.case import Case

__all__ = ["Passes", "Run", "groups_of", "has_bias"]


def has_bias(module: nn.Module) -> bool:
    """Whether a module has a bias.

    Args:
        module: A Linear or Conv2d.
    """
    return "bias" in dict(module.named_parameters(recurse=False))


def groups_of(module: nn.Module) -> int:
    """The number of a module's independent maps: the groups of a convolution, else 1.

    Args:
        module: A Linear or Conv2d.
    """
    return module.groups if isinstance(module, nn.Conv2d) else 1


@dataclass
class Run:
    """One forward pass over n examples.

    Args:
        f: Outputs [n, T, C].
        graph: Outputs [n, T, C] with their autograd graph.
        a: Rows that each block multiplies [n, R, I], 1 in the last column where there is a bias.
        counted: 1 for rows that count in A, else 0 [n, R].
        calls: Every call of a tracked module: its blocks, the module, its output.
    """

    f: Tensor
    graph: Tensor
    a: dict[str, Tensor] = field(default_factory=dict)
    counted: dict[str, Tensor] = field(default_factory=dict)
    calls: list[tuple[list[str], nn.Module, Tensor]] = field(default_factory=list)


class Passes(LossMath):
    """Rows a and g of every block, with gradient sum_r g_r a_r^T."""

    def dtype(self, case: Case) -> torch.dtype:
        """The dtype of the computation: float64 if the conventions say so, else float32."""
        return torch.float64 if case.conventions.dtype == "float64" else torch.float32

    def module(self, case: Case) -> nn.Module:
        """The model."""
        return case.torch_module(self.dtype(case))

    def training(self, case: Case) -> tuple[Tensor, ...]:
        """Training inputs and labels."""
        return case.dataset(self.dtype(case)).tensors

    def queries(self, case: Case) -> tuple[Tensor, ...]:
        """Inputs and labels of the queries."""
        return case.queries(self.dtype(case)).tensors

    def batches(self, case: Case) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """The training data in batches, with their places among the examples."""
        x, y = self.training(case)
        for place in case.batches():
            yield place, x[place], y[place]

    def layers(self, case: Case, model: nn.Module) -> list[tuple[nn.Module, str]]:
        """Modules that hold the parameters of a tracked layer, with the layer's name."""
        owners = {id(model.get_submodule(name).weight): name for name in case.tracked}
        modules = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        return [(m, owners[id(m.weight)]) for m in modules if id(m.weight) in owners]

    def names(self, layer: str, groups: int) -> list[str]:
        """Names of a layer's blocks: one, or one per group of a convolution."""
        return [layer] if groups == 1 else [f"{layer}[{i}]" for i in range(groups)]

    def seen(
        self,
        case: Case,
        run: Run,
        layer: str,
        y: Shaped[Tensor, "n ..."],
        module: nn.Module,
        inputs: tuple[Float[Tensor, "..."]],
        s: Float[Tensor, "..."],
    ) -> None:
        """Record the input rows of one call of a layer; a forward hook."""
        names = self.names(layer, groups_of(module))
        a = self.layer_input(inputs[0].detach(), s.detach())
        rows = self.with_bias(module, self.input_rows(module, a))
        mask = self.counted_rows(case, module, a, y, rows.shape[2])
        run.calls.append((names, module, s))
        for i, name in enumerate(names):
            self.record(run, name, rows[:, i], mask)

    def forward(
        self, case: Case, model: nn.Module, x: Shaped[Tensor, "n ..."], y: Shaped[Tensor, "n ..."]
    ) -> Run:
        """Run the model with a hook on every tracked module."""
        run = Run(x, x)
        handles = [
            module.register_forward_hook(partial(self.seen, case, run, layer, y))
            for module, layer in self.layers(case, model)
        ]
        run.graph = as_tokens(model(x))
        for handle in handles:
            handle.remove()
        run.f = run.graph.detach()
        return run

    def layer_input(
        self, a: Float[Tensor, "n ..."], s: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """The input a that a layer's weight multiplies, from input a and output s."""
        del s
        return a

    def record(
        self, run: Run, name: str, rows: Float[Tensor, "n R I"], mask: Float[Tensor, "n R"]
    ) -> None:
        """Append the rows of one call to those of earlier calls."""
        earlier = [run.a[name]] if name in run.a else []
        masks = [run.counted[name]] if name in run.a else []
        run.a[name] = torch.cat([*earlier, rows], dim=1)
        run.counted[name] = torch.cat([*masks, mask], dim=1)

    def input_rows(
        self, module: nn.Module, a: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n G R fan_in"]:
        """Input rows of each of the module's maps: tokens of a Linear, patches of a Conv2d."""
        if isinstance(module, nn.Linear):
            return a.reshape(len(a), 1, -1, a.shape[-1])
        assert isinstance(module, nn.Conv2d)
        columns = F.unfold(
            self.padded(module, a),
            module.kernel_size,
            dilation=module.dilation,
            stride=module.stride,
        )
        return columns.reshape(len(a), module.groups, -1, columns.shape[-1]).mT

    def padded(self, module: nn.Conv2d, a: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """The image as the convolution pads it."""
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        return F.pad(a, module._reversed_padding_repeated_twice, mode=mode)

    def with_bias(
        self, module: nn.Module, rows: Float[Tensor, "n G R fan_in"]
    ) -> Float[Tensor, "n G R I"]:
        """Rows with a last coordinate 1 where the module has a bias."""
        if not has_bias(module):
            return rows
        return torch.cat([rows, torch.ones_like(rows[..., :1])], dim=-1)

    def counted_rows(
        self,
        case: Case,
        module: nn.Module,
        a: Float[Tensor, "n ..."],
        y: Shaped[Tensor, "n ..."],
        R: int,
    ) -> Float[Tensor, "n R"]:
        """Weights of rows in A: 0 for ignored tokens where a Linear acts token by token, else 1."""
        by_token = case.loss.kind == "cross_entropy" and isinstance(module, nn.Linear)
        if by_token and a.shape[1:-1] == y.shape[1:]:
            return self.counted(case, y, R)
        return torch.ones(len(a), R, dtype=torch.float64)

    def output_rows(
        self, module: nn.Module, s: Float[Tensor, "K n ..."]
    ) -> Float[Tensor, "K n G R O"]:
        """Outputs of a module, or gradients in them, in the rows of `input_rows`."""
        if isinstance(module, nn.Conv2d):
            rows = s.flatten(3).mT
            return rows.unflatten(-1, (module.groups, -1)).transpose(2, 3)
        return s.reshape(*s.shape[:2], 1, -1, s.shape[-1])

    def backward(self, run: Run, v: Float[Tensor, "K n T C"]) -> dict[str, Tensor]:
        """Gradients g of <v, f> in every block's outputs [K, n, R, O]."""
        outputs = [s for _, _, s in run.calls]
        gradients = torch.autograd.grad(
            run.graph, outputs, v, retain_graph=True, is_grads_batched=True, allow_unused=True
        )
        rows: dict[str, list[Tensor]] = {}
        for (names, module, s), g in zip(run.calls, gradients, strict=True):
            unused = g is None  # pyright: ignore
            split = self.output_rows(module, s.new_zeros(len(v), *s.shape) if unused else g)
            for i, name in enumerate(names):
                rows.setdefault(name, []).append(split[:, :, i])
        return {name: torch.cat(parts, dim=2) for name, parts in rows.items()}

    def matrices(
        self, g: Float[Tensor, "K n R O"], a: Float[Tensor, "n R I"]
    ) -> Float[Tensor, "K n O I"]:
        """Gradients in [W | b]: sum_r g_r a_r^T."""
        return g.mT @ a

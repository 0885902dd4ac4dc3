"""Problem: a trained model, its loss, its data, and the layers whose parameters count."""

import copy
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from refimpl.losses import Loss
from refimpl.problem import checks, memory
from refimpl.problem.attention import plain_attention
from refimpl.problem.data import Data, as_arguments, convert, index, length
from refimpl.problem.gradients import check_gradients_under_vmap, values_and_gradients
from refimpl.problem.layers.selection import tracked_modules
from refimpl.problem.layout import ParameterLayout, TrackedLayer
from refimpl.problem.measurements import Measurement, measure
from refimpl.problem.probe import check_forward, check_targets

__all__ = ["Problem"]


class Problem:
    """A trained model with its loss, its training data and the layers that are tracked.

    Works on its own copy of the model, in evaluation mode and in `dtype`, and of the data; the
    caller's are never changed. J(theta) is the mean over the N examples of the example loss.

    Args:
        model: A module that maps inputs [N, ...] to outputs [N, ...], each example by itself.
        loss: A loss of `refimpl.losses`.
        inputs: Training inputs, examples first: a tensor, or a tuple or dict of tensors that the
            model is called with. Floating-point tensors are converted to `dtype`.
        targets: Training targets, examples first.
        layers: Names or patterns ("mlp.*") of the layers to track, in the order of the flat vector;
            default: all that are supported (Linear, Conv2d, and what `register_layer` adds).
            Everything else is frozen.
        dtype: Precision of every computation.

    Raises:
        ValueError: Anything about the model or the data that could not be treated correctly.
        TypeError: An argument is not of the kind described here.

    Example:
        >>> from refimpl.losses import CrossEntropy
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> x, y = torch.eye(5, 2), torch.tensor([0, 1, 0, 1, 1])
        >>> problem = Problem(model, CrossEntropy(), x, y)
        >>> problem.num_examples, problem.num_parameters
        (5, 17)
        >>> problem.gradients().shape
        torch.Size([5, 17])
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        inputs: Data,
        targets: Shaped[Tensor, "N ..."],
        layers: Sequence[str] | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        checks.arguments(model, loss, dtype)
        checks.model(model)
        device = checks.device_of(model)
        checks.examples(inputs, targets, device)
        self.loss = loss
        self.dtype = dtype
        self.device = device
        self.model = copy.deepcopy(model).to(dtype).eval().requires_grad_(False)
        self.inputs: Data = convert(inputs, dtype, copy=True)
        self.targets: Shaped[Tensor, "N ..."] = convert(targets, dtype, copy=True)

        self.layout = ParameterLayout(
            [TrackedLayer.of(modules) for modules in tracked_modules(self.model, layers)]
        )
        named = dict(self.model.named_parameters(remove_duplicate=False))
        self.parameters: Float[Tensor, " P"] = self.layout.from_named(named).clone()
        self.layout.check_inverse(self.parameters, named)
        self._differentiable = False  # not yet looked at: see require_gradients
        modules = [name for layer in self.layout.layers for name in layer.modules]
        # About how many numbers one example's forward and backward pass hold at once.
        self.activations: int = check_forward(
            self.model,
            self.outputs,
            loss,
            self.inputs,
            self.targets,
            layers=modules,
            dtype=dtype,
        )

    def __repr__(self) -> str:
        return (
            f"Problem(N={self.num_examples}, P={self.num_parameters}, loss={self.loss!r}, "
            f"layers={[layer.name for layer in self.layout.layers]}, dtype={self.dtype})"
        )

    @property
    def num_examples(self) -> int:
        """N, the number of training examples."""
        return length(self.inputs)

    @property
    def num_parameters(self) -> int:
        """P, the number of tracked parameters."""
        return self.layout.num_parameters

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the model's parameters that are not tracked."""
        tracked = set(self.layout.named(self.parameters))
        return tuple(name for name, _ in self.model.named_parameters() if name not in tracked)

    def outputs(
        self, inputs: Data | None = None, parameters: Float[Tensor, " P"] | None = None
    ) -> Float[Tensor, "N ..."]:
        """Model outputs f_theta(x).

        Args:
            inputs: Inputs [N, ...]; default: the training inputs.
            parameters: Flat theta [P]; default: the trained parameters.

        Returns:
            Outputs [N, ...].
        """
        x: Data = self.inputs if inputs is None else convert(inputs, self.dtype)
        theta = self.parameters if parameters is None else parameters
        return self._call(theta, x)

    def losses(
        self,
        inputs: Data | None = None,
        targets: Shaped[Tensor, "N ..."] | None = None,
        parameters: Float[Tensor, " P"] | None = None,
    ) -> Float[Tensor, " N"]:
        """Example losses [N], by default of the training data at the trained parameters."""
        inputs, targets = self.examples(inputs, targets)
        return self.loss.value(self.outputs(inputs, parameters), targets)

    def gradients(
        self, inputs: Data | None = None, targets: Shaped[Tensor, "N ..."] | None = None
    ) -> Float[Tensor, "N P"]:
        """Per-example loss gradients at the trained parameters.

        Args:
            inputs: Inputs [N, ...]; default: the training inputs.
            targets: Targets [N, ...]; given with `inputs`.

        Returns:
            Gradients [N, P] in the layout's order.
        """
        return self.measurement_gradients(inputs, targets, "loss")

    def measure(
        self,
        inputs: Data | None = None,
        targets: Shaped[Tensor, "N ..."] | None = None,
        measurement: Measurement = "loss",
        parameters: Float[Tensor, "*K P"] | None = None,
    ) -> Float[Tensor, "*K N"]:
        """Measurements of examples, at one parameter vector or at several.

        Args:
            inputs: Inputs [N, ...]; default: the training inputs.
            targets: Targets [N, ...]; given with `inputs`.
            measurement: "loss", "log_likelihood", "logit", "margin", or a function of the outputs
                and the target of one example that returns a scalar.
            parameters: Flat parameters [P] or [K, P]; default: the trained ones.

        Returns:
            Values [N], or [K, N] for parameters [K, P].
        """
        inputs, targets = self.examples(inputs, targets)
        theta = self.parameters if parameters is None else parameters

        def values(theta: Float[Tensor, " P"]) -> Float[Tensor, " N"]:
            return measure(self.loss, measurement, self._call(theta, inputs), targets)

        if theta.ndim == 1:
            return values(theta)
        return torch.func.vmap(values, chunk_size=self.chunk(length(inputs)))(theta)

    def measurement_gradients(
        self,
        inputs: Data | None = None,
        targets: Shaped[Tensor, "N ..."] | None = None,
        measurement: Measurement = "loss",
    ) -> Float[Tensor, "N P"]:
        """Gradient of each example's measurement in the tracked parameters [N, P]; see `measure`."""
        inputs, targets = self.examples(inputs, targets)

        def value(
            theta: Float[Tensor, " P"], x: Data, y: Shaped[Tensor, "..."]
        ) -> Float[Tensor, ""]:
            one = index(x, None)
            return measure(self.loss, measurement, self._call(theta, one), y[None])[0]

        self.require_gradients()
        theta = self.parameters.expand(len(targets), -1)
        return values_and_gradients(value, theta, inputs, targets, chunk=self.chunk(1))[1]

    def require_gradients(self) -> None:
        """Refuse a model whose gradients change under vmap; a problem never changes, so asked once.

        Raises:
            ValueError: See `check_gradients_under_vmap`.
        """
        if not self._differentiable:
            check_gradients_under_vmap(self._losses, self.parameters, *self.examples_up_to(2))
            self._differentiable = True

    def batches(self, batch_size: int) -> Iterator[tuple[slice, Data, Shaped[Tensor, "B ..."]]]:
        """The training data in order, as (place, inputs, targets) of at most `batch_size` examples."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        for start in range(0, self.num_examples, batch_size):
            place = slice(start, min(start + batch_size, self.num_examples))
            yield place, index(self.inputs, place), self.targets[place]

    def examples(
        self, inputs: Data | None, targets: Shaped[Tensor, "N ..."] | None
    ) -> tuple[Data, Shaped[Tensor, "N ..."]]:
        """Examples in the problem's dtype, checked; the training data when both are None.

        Args:
            inputs: Inputs [N, ...] or None.
            targets: Targets [N, ...] or None.

        Raises:
            ValueError: Only one of the two is given, or they do not fit model and loss.
        """
        if inputs is None and targets is None:
            return self.inputs, self.targets
        if inputs is None or targets is None:
            raise ValueError("inputs and targets belong together: give both or neither")
        if inputs is self.inputs and targets is self.targets:
            return inputs, targets
        x, y = self.converted(inputs, targets)
        check_targets(self.outputs, self.loss, x, y, self.dtype)
        return x, y

    def converted(
        self, inputs: Data, targets: Shaped[Tensor, "N ..."]
    ) -> tuple[Data, Shaped[Tensor, "N ..."]]:
        """Examples in the problem's dtype; whether model and loss take them is not looked at.

        Args:
            inputs: Inputs [N, ...].
            targets: Targets [N, ...].

        Raises:
            ValueError: They are empty, of unequal lengths, not finite, or elsewhere than the model.
        """
        checks.examples(inputs, targets, self.device)
        return convert(inputs, self.dtype), convert(targets, self.dtype)

    def examples_up_to(self, count: int) -> tuple[Data, Shaped[Tensor, "B ..."]]:
        """The first `count` training examples, or all when there are fewer."""
        place = slice(0, min(count, self.num_examples))
        return index(self.inputs, place), self.targets[place]

    def chunk(self, examples: int, elements: int = memory.VMAPPED_PASSES) -> int:
        """How many copies of the parameters and of `examples` passes fit in 128 MiB (float64)."""
        return max(1, elements // (self.num_parameters + self.activations * examples))

    def _call(self, theta: Float[Tensor, " P"], inputs: Data) -> Float[Tensor, "N ..."]:
        if theta.dtype != self.dtype:
            raise ValueError(f"parameters must be {self.dtype}, got {theta.dtype}")
        args, kwargs = as_arguments(inputs)
        # tie_weights=False: `named` already lists every holder of a shared parameter, and torch's
        # own tying can leave a wrapped tensor behind in a model that holds a module twice
        # (pytorch#164759).
        with plain_attention():
            return torch.func.functional_call(
                self.model, self.layout.named(theta), args, kwargs, tie_weights=False
            )

    def _losses(
        self, theta: Float[Tensor, " P"], inputs: Data, targets: Shaped[Tensor, "N ..."]
    ) -> Float[Tensor, " N"]:
        return self.loss.value(self._call(theta, inputs), targets)

"""The objectives of retraining: the proximal Bregman objective, and the weighted training objective.

Each stands for K objectives at once, as `certified_minima` takes them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import grad, jvp, vmap

from refimpl.problem import memory
from refimpl.problem.gradients import values_and_gradients
from refimpl.problem.problem import Problem

__all__ = ["ProximalBregmanObjective", "WeightedObjective"]

# Roundings of the terms that a value is the sum of, in units of eps.
ROUNDINGS = 8


@dataclass(frozen=True)
class ProximalBregmanObjective:
    """PBO(theta_s + shift; epsilon, m) less its value at theta_s, for K sets m of training examples.

    mean_n D(f_theta(x_n), f_s(x_n)) + epsilon l_m(theta) + lambda/2 ||theta - theta_s||^2
    (Bae et al. 2022, eq. 9; Grosse et al. 2023, eq. 6). Its argument is the shift theta - theta_s.

    Args:
        problem: The problem; its parameters are theta_s.
        epsilon: Weight of each example.
        damping: lambda.
        reference: Outputs of the training data at theta_s.
        examples: Indices of the K sets of k examples [K, k].
        losses: Their losses at theta_s, summed over each set [K].
    """

    problem: Problem
    epsilon: float
    damping: float
    reference: Float[Tensor, "N ..."]
    examples: Int[Tensor, "K k"]
    losses: Float[Tensor, " K"]

    @classmethod
    def of(
        cls, problem: Problem, examples: Int[Tensor, "K k"], epsilon: float, damping: float
    ) -> "ProximalBregmanObjective":
        """The objective of some training examples; what does not change with theta is computed here."""
        reference = problem.outputs()
        losses = problem.loss.value(reference, problem.targets)[examples].sum(dim=1)
        return cls(problem, epsilon, damping, reference, examples, losses)

    @property
    def initial(self) -> Float[Tensor, " K"]:
        """Zero, by the definition."""
        return torch.zeros_like(self.losses)

    @property
    def rounding(self) -> float:
        """Outputs carry roundings of about u max|f|, and epsilon l_m repeats them."""
        largest = float(self.reference.abs().max())
        return ROUNDINGS * torch.finfo(self.losses.dtype).eps * abs(self.epsilon) * (1 + largest)

    def value_and_gradient(
        self, shift: Float[Tensor, "k P"], which: Int[Tensor, " k"]
    ) -> tuple[Float[Tensor, " k"], Float[Tensor, "k P"]]:
        """Values and gradients for the sets numbered `which`, each at its own shift."""
        chunk = self.problem.chunk(self.problem.num_examples, memory.RETRAININGS)
        theta = self.problem.parameters + shift
        return values_and_gradients(self._value, theta, *self._sets(which), chunk=chunk)

    def hessian_product(
        self, shift: Float[Tensor, "k P"], which: Int[Tensor, " k"], vectors: Float[Tensor, "k P"]
    ) -> Float[Tensor, "k P"]:
        """Hessians times vectors, for the sets numbered `which`, each at its own shift."""
        chunk = self.problem.chunk(2 * self.problem.num_examples, memory.RETRAININGS)
        theta = self.problem.parameters + shift
        return _hessian_products(self._value, theta, vectors, *self._sets(which), chunk=chunk)

    def _sets(self, which: Int[Tensor, " k"]) -> tuple[Tensor, Tensor]:
        return self.examples[which], self.losses[which]

    def _value(
        self, theta: Float[Tensor, " P"], examples: Int[Tensor, " k"], before: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        problem = self.problem
        outputs = problem.outputs(None, theta)
        divergence = problem.loss.bregman(outputs, self.reference, problem.targets)
        after = problem.loss.value(outputs[examples], problem.targets[examples]).sum()
        shift = theta - problem.parameters
        proximity = self.damping / 2 * (shift @ shift)
        return divergence.mean() + self.epsilon * (after - before) + proximity


@dataclass(frozen=True)
class WeightedObjective:
    """Training objectives of K weightings of the examples, as functions of theta.

    (1/N) sum_n w_kn l_n(theta) + weight_decay/2 ||theta||^2 + proximity/2 ||theta - theta_s||^2.

    Args:
        problem: The problem; its parameters are theta_s.
        weights: w [K, N].
        weight_decay: Of all tracked parameters, >= 0.
        proximity: >= 0.
        initial: Values where the minimisation starts [K].
    """

    problem: Problem
    weights: Float[Tensor, "K N"]
    weight_decay: float
    proximity: float
    initial: Float[Tensor, " K"]

    @classmethod
    def of(
        cls,
        problem: Problem,
        weights: Float[Tensor, "K N"],
        weight_decay: float,
        proximity: float,
        start: Float[Tensor, "K P"],
    ) -> "WeightedObjective":
        """The objectives, with their values at the start computed."""
        unknown = weights.new_zeros(len(weights))
        objective = cls(problem, weights, weight_decay, proximity, unknown)
        everyone = torch.arange(len(weights), device=weights.device)
        return replace(objective, initial=objective.value_and_gradient(start, everyone)[0])

    @property
    def rounding(self) -> float:
        """Of values as large as those at the start."""
        return ROUNDINGS * torch.finfo(self.initial.dtype).eps * float(self.initial.abs().max())

    def value_and_gradient(
        self, theta: Float[Tensor, "k P"], which: Int[Tensor, " k"]
    ) -> tuple[Float[Tensor, " k"], Float[Tensor, "k P"]]:
        """Values and gradients of the objectives numbered `which`, each at its own theta."""
        chunk = self.problem.chunk(self.problem.num_examples)
        return values_and_gradients(self._value, theta, self.weights[which], chunk=chunk)

    def hessian_product(
        self, theta: Float[Tensor, "k P"], which: Int[Tensor, " k"], vectors: Float[Tensor, "k P"]
    ) -> Float[Tensor, "k P"]:
        """Hessians times vectors, likewise."""
        chunk = self.problem.chunk(2 * self.problem.num_examples)
        return _hessian_products(self._value, theta, vectors, self.weights[which], chunk=chunk)

    def _value(self, theta: Float[Tensor, " P"], w: Float[Tensor, " N"]) -> Float[Tensor, ""]:
        problem = self.problem
        losses = problem.loss.value(problem.outputs(None, theta), problem.targets)
        shift = theta - problem.parameters
        penalty = self.weight_decay / 2 * (theta @ theta) + self.proximity / 2 * (shift @ shift)
        return (w @ losses) / problem.num_examples + penalty


def _hessian_products(
    value: Callable[..., Float[Tensor, ""]],
    theta: Float[Tensor, "k P"],
    vectors: Float[Tensor, "k P"],
    *arguments: Tensor,
    chunk: int,
) -> Float[Tensor, "k P"]:
    """Hessians in theta_k of value(theta_k, *arguments_k), times vectors."""
    gradient = grad(value)

    def product(at: Float[Tensor, " P"], v: Float[Tensor, " P"], *rest: Any) -> Float[Tensor, " P"]:
        return jvp(lambda t: gradient(t, *rest), (at,), (v,))[1]

    return vmap(product, chunk_size=chunk)(theta, vectors, *arguments)

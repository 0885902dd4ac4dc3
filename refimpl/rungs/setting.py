"""A trained problem with its queries: what every comparison is of."""

from dataclasses import dataclass

from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl.problem.data import Data
from refimpl.problem.measurements import Measurement
from refimpl.problem.problem import Problem

__all__ = ["Setting"]


@dataclass(frozen=True)
class Setting:
    """A trained problem, its queries, and what is measured of them.

    Args:
        problem: The problem.
        query_inputs: Inputs of the queries, [Q, ...].
        query_targets: Targets of the queries, [Q, ...].
        measurement: f, as in `Problem.measure`.
    """

    problem: Problem
    query_inputs: Data
    query_targets: Shaped[Tensor, "Q ..."]
    measurement: Measurement = "loss"

    def values(self, parameters: Float[Tensor, "*K P"] | None = None) -> Float[Tensor, "*K Q"]:
        """The measurement of every query.

        Args:
            parameters: Flat theta [..., P]; default: the trained parameters.
        """
        return self.problem.measure(
            self.query_inputs, self.query_targets, self.measurement, parameters=parameters
        )

    def gradients(self) -> Float[Tensor, "Q P"]:
        """The gradients of the measurements."""
        return self.problem.measurement_gradients(
            self.query_inputs, self.query_targets, self.measurement
        )

"""What a climb compares, and the steps that it consists of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from refimpl.exact.gauss_newton import Method
from refimpl.rungs.setting import Setting

__all__ = ["Arrays", "Earlier", "Part", "Plan", "Result"]

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Result:
    """What a part gave: values as JSON has them, and arrays by name."""

    values: dict[str, Any]
    arrays: Arrays = field(default_factory=dict[str, np.ndarray])


# Results of the parts that a part needs, by name.
Earlier = Mapping[str, Result]


@dataclass(frozen=True)
class Plan:
    """What is compared with what.

    Args:
        num_examples: N.
        dampings: Every lambda > 0.
        headline: The damping of findings and drawings, one of them.
        groups: Groups of rungs, keys of `refimpl.rungs.fits.FITS`.
        given: Names of curvatures that the caller has fitted.
        retrained: At which dampings examples are retrained, by key of `SIGNS`.
        examples: How many of them.
        top_k: Size of the top sets.
        trials: Quasi-Newton steps of a retraining at most.
        seed: Of the sampled labels and of the examples that are retrained.
        method: The route to the exact GNH.
        full_hessian: Whether the full Hessian is formed where the exact GNH is.
    """

    num_examples: int
    dampings: Sequence[float]
    headline: float
    groups: Sequence[str]
    given: Sequence[str] = ()
    retrained: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    examples: int = 0
    top_k: int = 10
    trials: int = 400
    seed: int = 0
    method: Method = "auto"
    full_hessian: bool = True

    def retrained_examples(self) -> Int[Tensor, " K"]:
        """The training examples that are retrained, drawn at random, in order."""
        order = np.random.RandomState(self.seed + 1).permutation(self.num_examples)
        return torch.from_numpy(np.sort(order[: self.examples]))

    def common(self, reference: str, damping: float) -> dict[str, Any]:
        """What the records of a comparison begin with.

        Args:
            reference: What is compared with.
            damping: lambda.
        """
        return {"seed": self.seed, "reference": reference, "damping": damping}


@dataclass(frozen=True)
class Part:
    """A step of the climb: a function of what earlier steps gave, whose result can be saved.

    Args:
        name: Its name, unique among the parts of a plan; slashes group ("fits/labels").
        work: (plan, earlier results, setting) -> values, or (values, arrays); without the setting
            where it takes none. A module-level function or a partial of one, so that it can be sent
            to another process.
        needs: The parts whose results it reads.
        takes_setting: Whether it computes on the problem; otherwise it compares scores of earlier
            parts, and reads no other arrays of theirs.
        title: What a progress line calls it; empty where it takes no time.
    """

    name: str
    work: Callable[..., Any]
    needs: tuple[str, ...] = ()
    takes_setting: bool = True
    title: str = ""

    def run(
        self, plan: Plan, earlier: Earlier, setting: Callable[[], Setting]
    ) -> tuple[dict[str, Any], Arrays]:
        """Its values and arrays.

        Args:
            plan: What is compared.
            earlier: Results of the parts that it needs.
            setting: Makes the problem and its queries; called only where they are needed.
        """
        arguments = (plan, earlier, setting()) if self.takes_setting else (plan, earlier)
        outcome = self.work(*arguments)
        return outcome if isinstance(outcome, tuple) else (outcome, {})

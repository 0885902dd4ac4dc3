"""K-FAC: each block of the Gauss-Newton Hessian as a Kronecker product S (x) A."""

from collections.abc import Callable, Iterator
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from refimpl.curvature.curvature import Eigenbasis
from refimpl.curvature.structured import StructuredCurvature
from refimpl.problem.problem import Problem
from refimpl.rows.draws import label_draws
from refimpl.rows.sweeps import Fisher, Sweep, sweeps_over

__all__ = ["KFAC", "Factors", "WeightSharing", "kronecker_factors"]

WeightSharing = Literal["expand", "reduce"]
Factors = dict[str, tuple[Float[Tensor, "_I _I"], Float[Tensor, "_O _O"]]]


def kronecker_factors(
    problem: Problem, passes: Iterator[Sweep], *, weight_sharing: WeightSharing
) -> Factors:
    """The uncentred covariances (A, S) of every block (Martens & Grosse 2015, eq. 1 and section 3).

    With one position a layer, A = mean_n a a^T and S = mean_n E[Ds Ds^T]. With several (tokens,
    places of a convolution, repeated calls), after Eschenhagen et al. 2023:
    expand: A is the mean of a a^T over all counted positions and S = (1/N) sum_n sum_r E[g g^T], as
    if positions were independent examples; reduce: a is first averaged and g summed over positions.
    Either way S (x) A has the scale of the block that it approximates.

    Args:
        problem: The problem.
        passes: Its pseudo-gradients, from `sweeps`.
        weight_sharing: "expand" or "reduce".
    """
    if weight_sharing not in get_args(WeightSharing):
        raise ValueError(
            f"weight_sharing must be one of {get_args(WeightSharing)}, got {weight_sharing!r}"
        )
    blocks = problem.layout.blocks
    new = problem.parameters.new_zeros
    a_sum = {b.name: new(b.inputs, b.inputs) for b in blocks}
    s_sum = {b.name: new(b.outputs, b.outputs) for b in blocks}
    rows = dict.fromkeys(a_sum, 0)
    for sweep in passes:
        for name, g in sweep.gradients.items():
            a, counted = sweep.inputs[name], sweep.counted[name]
            if weight_sharing == "reduce":
                a, counted = mean_row(a, counted)
                g = g.sum(dim=2, keepdim=True)
            if sweep.first:
                a = a[counted]
                a_sum[name].addmm_(a.T, a)
                rows[name] += len(a)
            flat = g.flatten(0, 2)
            s_sum[name].addmm_(flat.T, flat)
    return {
        name: (a_sum[name] / max(rows[name], 1), s_sum[name] / problem.num_examples)
        for name in a_sum
    }


def mean_row(
    a: Float[Tensor, "N R I"], counted: Bool[Tensor, "N R"]
) -> tuple[Float[Tensor, "N 1 I"], Bool[Tensor, "N 1"]]:
    """Each example's mean over its counted positions; an example without any does not count."""
    weight = counted.to(a)
    count = weight.sum(dim=1, keepdim=True)
    mean = (weight[:, None, :] @ a) / count.clamp(min=1)[..., None]
    return mean, count > 0


class KFAC(StructuredCurvature):
    """Kronecker-factored curvature (Martens & Grosse 2015; Grosse & Martens 2016 for convolutions).

    Args:
        problem: The problem.
        fisher: Labels of the pseudo-gradients: "exact" takes the expectation over the model's own
            label distribution in closed form, "sampled" draws from it, "empirical" uses the data's
            labels and so is not the Fisher.
        samples: Labels drawn per example, for "sampled".
        generator: Source of the drawn labels; default: a generator of its own with seed 0.
        weight_sharing: How positions of a shared weight are treated, "expand" or "reduce".
        batch_size: Examples per pass; results do not depend on it.
        factors: (A, S) of each block, where another K-FAC or EK-FAC of this problem has them already:
            then they are taken as they are, and the options above say nothing.
        factored_damping: Solve with (S + sqrt(lambda) / pi I) (x) (A + pi sqrt(lambda) I) instead of
            the exact S (x) A + lambda I (Martens & Grosse 2015, section 6.3).

    Attributes:
        factors: (A [I, I], S [O, O]) of each block.

    Raises:
        ValueError: An unknown option, or a model that its layers' inputs and gradients do not give.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        fisher: Fisher = "exact",
        samples: int = 1,
        generator: Generator | None = None,
        weight_sharing: WeightSharing = "expand",
        batch_size: int | None = None,
        factors: Factors | None = None,
        factored_damping: bool = False,
    ) -> None:
        super().__init__(problem)
        self.fisher: Fisher = fisher
        self.factored_damping = factored_damping
        if factors is None:
            draws = label_draws(problem, samples, generator) if fisher == "sampled" else None
            passes = sweeps_over(
                problem, fisher=fisher, samples=samples, draws=draws, batch_size=batch_size
            )
            factors = kronecker_factors(problem, passes, weight_sharing=weight_sharing)
        self.factors = factors
        self._eigen = {
            name: (*torch.linalg.eigh(A), *torch.linalg.eigh(S))
            for name, (A, S) in self.factors.items()
        }

    def __repr__(self) -> str:
        return f"KFAC(fisher={self.fisher!r}, factored_damping={self.factored_damping})"

    def _blockwise(
        self,
        vectors: Float[Tensor, "k P"],
        act: Callable[[str, Float[Tensor, "k _O _I"]], Float[Tensor, "k _O _I"]],
    ) -> Float[Tensor, "k P"]:
        matrices = self.layout.matrices(vectors)
        return self.layout.flatten({name: act(name, V) for name, V in matrices.items()})

    def apply_rows(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        """S V A for each row v, block by block."""

        def act(name: str, V: Float[Tensor, "k _O _I"]) -> Float[Tensor, "k _O _I"]:
            A, S = self.factors[name]
            return S @ V @ A  # (S (x) A) vec(V), vec row by row

        return self._blockwise(vectors, act)

    def solve_uncertified(
        self, vectors: Float[Tensor, "k P"], damping: float
    ) -> Float[Tensor, "k P"]:
        """(S (x) A + damping I)^-1 v for each row v, in the eigenbases of S and A."""

        def act(name: str, V: Float[Tensor, "k _O _I"]) -> Float[Tensor, "k _O _I"]:
            _, Q_A, _, Q_S = self._eigen[name]
            return Q_S @ ((Q_S.mT @ V @ Q_A) / self._eigenvalues(name, damping)) @ Q_A.mT

        return self._blockwise(vectors, act)

    def kronecker_inverse(self, damping: float) -> Eigenbasis:
        """(Q_A, Q_S, 1 / damped eigenvalues) per block."""
        return {
            name: (Q_A, Q_S, 1 / self._eigenvalues(name, damping))
            for name, (_, Q_A, _, Q_S) in self._eigen.items()
        }

    def _eigenvalues(self, name: str, damping: float) -> Float[Tensor, "_O _I"]:
        """The eigenvalues of the damped block."""
        w_A, _, w_S, _ = self._eigen[name]
        if not self.factored_damping:
            return torch.outer(w_S, w_A) + damping
        a, s = self._shares(name, damping)
        return torch.outer(w_S + s, w_A + a)

    def _shares(self, name: str, damping: float) -> tuple[float, float]:
        """The multiples of I that are added to A and to S: pi sqrt(lambda) and sqrt(lambda) / pi."""
        A, S = self.factors[name]
        mean_a, mean_s = float(A.trace()) / len(A), float(S.trace()) / len(S)
        # A layer without gradients, or without inputs, has no ratio of scales: pi = 1.
        pi = (mean_a / mean_s) ** 0.5 if mean_a > 0 and mean_s > 0 else 1.0
        return pi * damping**0.5, damping**0.5 / pi

    def apply_damped(self, vectors: Float[Tensor, "k P"], damping: float) -> Float[Tensor, "k P"]:
        """The damped blocks times each row v."""
        if not self.factored_damping:
            return super().apply_damped(vectors, damping)

        def act(name: str, V: Float[Tensor, "k _O _I"]) -> Float[Tensor, "k _O _I"]:
            A, S = self.factors[name]
            a, s = self._shares(name, damping)
            return (S @ V + s * V) @ A + a * (S @ V + s * V)

        return self._blockwise(vectors, act)

    def damped_range(self, damping: float, low: float, high: float) -> tuple[float, float]:
        """The extreme eigenvalues of the damped blocks."""
        if not self.factored_damping:
            return super().damped_range(damping, low, high)
        ends = []
        for name, (w_A, _, w_S, _) in self._eigen.items():
            a, s = self._shares(name, damping)
            ends += [float((w_A[i] + a) * (w_S[i] + s)) for i in (0, -1)]
        return max(min(ends), 0.0), max(ends)

    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """Extreme eigenvalues: products of the factors' extreme eigenvalues."""
        del exact
        low = min(
            float(w_A[0].clamp(min=0) * w_S[0].clamp(min=0))
            for w_A, _, w_S, _ in self._eigen.values()
        )
        high = max(float(w_A[-1] * w_S[-1]) for w_A, _, w_S, _ in self._eigen.values())
        return low, high

"""EK-FAC: K-FAC's eigenvectors with eigenvalues corrected to the true second moments."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from refimpl.curvature.curvature import Eigenbasis
from refimpl.curvature.structured import StructuredCurvature
from refimpl.fast.kfac import Factors, WeightSharing, kronecker_factors
from refimpl.problem.problem import Problem
from refimpl.rows.draws import label_draws
from refimpl.rows.matrices import gradient_matrices_in_pieces
from refimpl.rows.sweeps import Fisher, Sweep, repeatable_sweeps

__all__ = ["EKFAC", "corrected_eigenvalues"]

Basis = dict[str, tuple[Float[Tensor, "_I _I"], Float[Tensor, "_O _O"]]]


def corrected_eigenvalues(
    problem: Problem,
    basis: Basis,
    *,
    fisher: Fisher = "exact",
    samples: int = 1,
    draws: Float[Tensor, "N samples ..."] | None = None,
    batch_size: int | None = None,
    passes: Callable[[], Iterator[Sweep]] | None = None,
) -> dict[str, Float[Tensor, "_O _I"]]:
    """Lambda = (1/N) sum_n E[(Q_S^T (sum_r g a^T) Q_A)^2] of every block (George et al. 2018, eq. 7).

    The gradient of an example is summed over its tokens or positions before it is squared (Grosse
    et al. 2023, section 2.2), so that the diagonal in the given basis is that of the block itself.

    Args:
        problem: The problem.
        basis: (Q_A [I, I], Q_S [O, O]) per block, any orthonormal bases.
        fisher: Which labels the pseudo-gradients come from.
        samples: Labels per example, for "sampled".
        draws: Their random numbers.
        batch_size: Examples per pass; default: as many as fit in bounded memory.
        passes: The pseudo-gradients, where they are at hand already.

    Returns:
        Lambda [O, I] per block.
    """
    total = {
        b.name: problem.parameters.new_zeros(b.outputs, b.inputs) for b in problem.layout.blocks
    }
    if passes is None:
        passes = repeatable_sweeps(
            problem, fisher=fisher, samples=samples, draws=draws, batch_size=batch_size
        )
    for sweep in passes():
        for name, (Q_A, Q_S) in basis.items():
            total[name] += _squares(sweep, name, Q_A, Q_S)
    return {name: value / problem.num_examples for name, value in total.items()}


def _squares(
    sweep: Sweep, name: str, Q_A: Float[Tensor, "I I"], Q_S: Float[Tensor, "O O"]
) -> Float[Tensor, "O I"]:
    """Sum over examples and directions of (Q_S^T (sum_r g a^T) Q_A)^2."""
    g, a = sweep.gradients[name] @ Q_S, sweep.inputs[name] @ Q_A
    if a.shape[1] == 1:  # one position: the square of an outer product is the product of squares
        return (g[:, :, 0] ** 2).sum(dim=0).T @ a[:, 0] ** 2
    total = g.new_zeros(g.shape[3], a.shape[2])
    for u in gradient_matrices_in_pieces(g, a):
        total += (u**2).sum(dim=(0, 1))
    return total


class EKFAC(StructuredCurvature):
    """Eigenvalue-corrected K-FAC (George et al. 2018; Grosse et al. 2023, section 2.2).

    Args:
        problem: The problem.
        fisher: Labels of the pseudo-gradients: "exact" takes the expectation over the model's own
            label distribution in closed form, "sampled" draws from it (the same draws for factors
            and eigenvalues), "empirical" uses the data's labels and so is not the Fisher.
        samples: Labels drawn per example, for "sampled".
        generator: Source of the drawn labels; default: a generator of its own with seed 0.
        weight_sharing: How the factors treat positions of a shared weight, "expand" or "reduce".
        batch_size: Examples per pass; results do not depend on it.
        factors: (A, S) of each block, where a K-FAC of this problem has them already; then they are
            taken as they are, and `weight_sharing` says nothing.
        eigen: (Q_A, Q_S, eigenvalues) of each block, given with the `factors` that they belong to: the
            attribute `eigen` of another EK-FAC, as it is or with its eigenvalues clipped. They are
            taken as they are, and nothing is fitted.

    Attributes:
        factors: (A [I, I], S [O, O]) of each block.
        eigen: (Q_A [I, I], Q_S [O, O], corrected eigenvalues [O, I]) of each block.

    Raises:
        ValueError: An unknown option, `eigen` without `factors`, or a model that its layers' inputs
            and gradients do not give.
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
        eigen: Eigenbasis | None = None,
    ) -> None:
        super().__init__(problem)
        self.fisher: Fisher = fisher
        if eigen is not None:
            if factors is None:
                raise ValueError("eigen without its factors: give both, of the same EK-FAC")
            self.factors, self.eigen = factors, eigen
            return
        draws = label_draws(problem, samples, generator) if fisher == "sampled" else None
        passes = repeatable_sweeps(
            problem, fisher=fisher, samples=samples, draws=draws, batch_size=batch_size
        )
        if factors is None:
            factors = kronecker_factors(problem, passes(), weight_sharing=weight_sharing)
        self.factors = factors
        basis = {
            name: (torch.linalg.eigh(A).eigenvectors, torch.linalg.eigh(S).eigenvectors)
            for name, (A, S) in self.factors.items()
        }
        eigenvalues = corrected_eigenvalues(
            problem, basis, fisher=fisher, samples=samples, draws=draws, passes=passes
        )
        self.eigen: Eigenbasis = {name: (*basis[name], eigenvalues[name]) for name in basis}

    def __repr__(self) -> str:
        return f"EKFAC(fisher={self.fisher!r})"

    def apply_rows(self, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        """H v for each row v, in the eigenbasis."""
        return self._act(self.eigen, vectors)

    def solve_uncertified(
        self, vectors: Float[Tensor, "k P"], damping: float
    ) -> Float[Tensor, "k P"]:
        """(H + damping I)^-1 v for each row v, in the eigenbasis."""
        return self._act(self.kronecker_inverse(damping), vectors)

    def kronecker_inverse(self, damping: float) -> Eigenbasis:
        """(Q_A, Q_S, 1 / damped eigenvalues) per block."""
        return {n: (Q_A, Q_S, 1 / (L + damping)) for n, (Q_A, Q_S, L) in self.eigen.items()}

    def _act(self, basis: Eigenbasis, vectors: Float[Tensor, "k P"]) -> Float[Tensor, "k P"]:
        """Q_S (D * (Q_S^T V Q_A)) Q_A^T per block (Grosse et al. 2023, eq. 20)."""
        products: dict[str, Tensor] = {}
        for name, V in self.layout.matrices(vectors).items():
            Q_A, Q_S, D = basis[name]
            products[name] = Q_S @ (D * (Q_S.mT @ V @ Q_A)) @ Q_A.mT
        return self.layout.flatten(products)

    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """Extreme corrected eigenvalues."""
        del exact
        values = [L for _, _, L in self.eigen.values()]
        return min(float(v.min()) for v in values), max(float(v.max()) for v in values)

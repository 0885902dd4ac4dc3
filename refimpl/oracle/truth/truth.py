"""The right answers to a case, in the conventions that an implementation declares.

Everything comes from refimpl in float64. Where a convention only scales the loss (the whole squared
distance, the mean of a binary cross-entropy's outputs) by a number c, gradients, S, Lambda and the
Gauss-Newton Hessian are c times refimpl's and A is the same (S and Lambda of the empirical Fisher are
c^2 times); where it asks for another matrix, refimpl computes that one. refimpl.oracle.truth.scales
gives the scale on which an answer's error is judged.
"""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import torch

from refimpl.fast.ekfac import corrected_eigenvalues
from refimpl.fast.kfac import kronecker_factors
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.question.layout import flatten, shapes, split_bias, unflatten
from refimpl.oracle.truth import of_problem
from refimpl.oracle.truth.biases import bases_with_bias, split_factors
from refimpl.oracle.truth.kronecker import Basis, damped_inverse, eigen, gap, spectra
from refimpl.rows.draws import label_draws
from refimpl.rows.sweeps import Sweep, repeatable_sweeps

__all__ = ["Truth", "Undecided"]


class Undecided(Exception):
    """This case cannot decide this check; the text says why. The verdict is `indeterminate`."""


class Truth:
    """The right answers to a case; each is computed once, when it is first needed.

    Args:
        case: Model, data and the conventions of the answers.
        curvature: The matrix that `solve` and `scores` invert: "ekfac", "kfac" or "gauss_newton".
        dtype: The dtype of refimpl's computations.
        seed: Seed of a sampled Fisher's labels; None: the expectation over labels, which is right.

    Raises:
        Undecided: The conventions and the case do not fit together.
    """

    def __init__(
        self,
        case: Case,
        curvature: str = "ekfac",
        *,
        dtype: torch.dtype = torch.float64,
        seed: int | None = None,
    ) -> None:
        self.curvature = curvature
        self.conventions: Conventions = case.conventions
        self.seed = seed
        self._eigenvalues: dict[bytes, dict[str, Array]] = {}
        self.case = case
        self.problem = case.problem if dtype == torch.float64 else case.problem_in(dtype)

    @cached_property
    def loss_scale(self) -> float:
        """The number c with loss = c times refimpl's."""
        return self._loss_scale(self.case.mask)

    def _loss_scale(self, mask: Array) -> float:
        kind = self.case.loss.kind
        if self.case.token_mean and kind == "squared_error":
            raise Undecided("a mean over tokens of a squared error is not among the conventions")
        if self.case.token_mean and kind == "binary_cross_entropy":  # where every token counts
            return 1 / mask[0].size
        full = self.conventions.squared_error == "full" and kind == "squared_error"
        return 2.0 if full else 1.0

    @property
    def second_moment_scale(self) -> float:
        """The factor of S and Lambda: c, as for the Hessian; c^2 where gradients are squared."""
        return self.loss_scale ** (2 if self.conventions.fisher == "empirical" else 1)

    @cached_property
    def gradients(self) -> dict[str, Array]:
        """Gradients of the training examples [N, O, I]."""
        c = self.loss_scale
        if self.conventions.loss_reduction == "example_mean":
            c /= self.case.num_examples
        return self._matrices("gradients", c * of_problem.training_gradients(self.problem))

    @cached_property
    def flat_gradients(self) -> Array:
        """Gradients of the training examples' losses [N, P], never divided by N."""
        g = flatten(self.gradients, self.conventions)
        if self.conventions.loss_reduction == "example_mean":
            g = g * self.case.num_examples
        return g

    @cached_property
    def query_gradients(self) -> dict[str, Array]:
        """Gradients of the queries' losses [Q, O, I]."""
        flat = of_problem.query_gradients(self.problem, self.case.queries_key)
        return self._matrices("queries", self._loss_scale(self.case.query_mask) * flat)

    def _matrices(self, what: str, flat: torch.Tensor) -> dict[str, Array]:
        whole = {n: m.numpy() for n, m in self.problem.layout.matrices(flat).items()}
        matrices = split_bias(whole, self.case.blocks, self.conventions)
        return {n: self.stored(what + n, m) for n, m in matrices.items()}

    def stored(self, what: str, array: Array) -> Array:
        """An array as an implementation stores it: unchanged here, rounded in `Perturbed`.

        Args:
            what: Name of the array, from which its perturbation is drawn.
            array: Any shape.
        """
        return array

    def decomposed(self, what: str, matrix: Array) -> Array:
        """A matrix as an eigensolver or a solve sees it: unchanged here, moved in `Perturbed`.

        Args:
            what: Name of the matrix, from which its perturbation is drawn.
            matrix: Symmetric [n, n].
        """
        return matrix

    @cached_property
    def factors(self) -> dict[str, tuple[Array, Array]]:
        """(A, S) by layer; of sampled labels their expectation, or those of the seed's draws."""
        sharing = self.conventions.weight_sharing
        plain = kronecker_factors(self.problem, self.passes(), weight_sharing=sharing)
        whole = {
            n: (A.numpy(), self.second_moment_scale * S.numpy()) for n, (A, S) in plain.items()
        }
        return split_factors(whole, self.case.blocks, self.conventions)

    @cached_property
    def passes(self) -> Callable[[], Iterator[Sweep]]:
        """The pseudo-gradients; of sampled labels without a seed, their expectation."""
        empirical = self.conventions.fisher == "empirical"
        if self.seed is not None:
            generator = torch.Generator().manual_seed(self.seed)
            count = self.conventions.samples
            draws = label_draws(self.problem, count, generator)
            return repeatable_sweeps(self.problem, fisher="sampled", samples=count, draws=draws)
        return repeatable_sweeps(self.problem, fisher="empirical" if empirical else "exact")

    @cached_property
    def basis(self) -> dict[str, tuple[Array, Array, Array, Array]]:
        """Eigendecompositions (w_A, Q_A, w_S, Q_S) of the factors, by layer."""
        move = self.decomposed
        return eigen(
            {n: (move(f"A {n}", A), move(f"S {n}", S)) for n, (A, S) in self.factors.items()}
        )

    def eigenvalues_in(self, basis: Basis) -> dict[str, Array]:
        """Lambda [O, I] in a given basis: second moments of gradients summed over positions.

        Args:
            basis: (w_A, Q_A, w_S, Q_S) by layer.
        """
        key = b"".join(np.asarray(b).tobytes() for part in basis.values() for b in part)
        if key not in self._eigenvalues:
            self._eigenvalues[key] = self._eigenvalues_in(basis)
        return self._eigenvalues[key]

    def _eigenvalues_in(self, basis: Basis) -> dict[str, Array]:
        bases = bases_with_bias(basis, self.case.blocks, self.conventions)
        dtype = self.problem.dtype
        whole = {
            n: (
                torch.from_numpy(self.stored(f"Q_A {n}", Q_A)).to(dtype),
                torch.from_numpy(self.stored(f"Q_S {n}", Q_S)).to(dtype),
            )
            for n, (Q_A, Q_S) in bases.items()
        }
        corrected = corrected_eigenvalues(self.problem, whole, passes=self.passes)
        matrices = {n: self.second_moment_scale * m.numpy() for n, m in corrected.items()}
        return {
            n: self.stored("eigenvalues" + n, m)
            for n, m in split_bias(matrices, self.case.blocks, self.conventions).items()
        }

    @cached_property
    def eigenvalues(self) -> dict[str, Array]:
        """Lambda [O, I] in the basis of the factors."""
        return self.eigenvalues_in(self.basis)

    @cached_property
    def matrix(self) -> Array:
        """The undamped Gauss-Newton Hessian [P, P], in flat order."""
        G = self.loss_scale * of_problem.gauss_newton(self.problem).numpy()
        order = self.order
        return G[np.ix_(order, order)]

    @property
    def second_moment(self) -> Array:
        """The undamped matrix [P, P] of the curvature "gauss_newton": G, or the empirical Fisher."""
        if self.conventions.fisher != "empirical":
            return self.matrix
        g = self.flat_gradients
        return g.T @ g / self.case.num_examples

    @cached_property
    def order(self) -> Array:
        """Place in refimpl's flat vector of each entry of a flat vector in the conventions [P]."""
        plain = torch.arange(self.problem.num_parameters, dtype=torch.float64)
        whole = {n: m.numpy() for n, m in self.problem.layout.matrices(plain).items()}
        positions = split_bias(whole, self.case.blocks, self.conventions)
        return flatten(positions, self.conventions).astype(int)

    @cached_property
    def parts(self) -> dict[str, tuple[Array, Array, Array]]:
        """(Q_A, Q_S, damped eigenvalues) of K-FAC or EK-FAC."""
        eigenvalues = self.eigenvalues if self.curvature == "ekfac" else None
        return spectra(self.curvature, self.basis, eigenvalues, self.case.damping, self.conventions)

    def require_damped(self) -> None:
        """Refuse a relative damping that adds nothing: then there is nothing to invert.

        Raises:
            Undecided: A layer without curvature, and lambda a multiple of its mean eigenvalue.
        """
        if self.curvature == "gauss_newton" or self.conventions.damping != "relative":
            return
        for name, (_, _, damped) in self.parts.items():
            if not damped.max() > 0:
                raise Undecided(
                    f"the curvature of {name} is zero, and so is a multiple of its mean eigenvalue: "
                    "there is no damping, and no inverse"
                )

    def solve(self, vectors: Array) -> Array:
        """(H + lambda)^-1 times each row [k, P].

        Args:
            vectors: Right-hand sides [k, P] in flat order.
        """
        if self.curvature == "gauss_newton":
            G = self.second_moment
            damped = G + self.case.damping * np.eye(len(G))
            damped = self.decomposed("damped", damped)
            return self.stored("solve", np.linalg.solve(damped, vectors.T).T)
        self.require_damped()
        matrices = unflatten(vectors, self.case, self.conventions)
        return self.stored("solve", flatten(damped_inverse(self.parts, matrices), self.conventions))

    @cached_property
    def scores(self) -> Array:
        """Influences [Q, N]."""
        q, g = flatten(self.query_gradients, self.conventions), self.flat_gradients
        return self.conventions.transformed("scores", self.products(q, g), self.case)

    def products(self, q: Array, g: Array) -> Array:
        """-q_i^T (H + lambda)^-1 g_j for all pairs [Q, N].

        Args:
            q: Gradients of queries [Q, P].
            g: Gradients of training examples [N, P].
        """
        return -self.solve(q) @ g.T

    def response(self, example: int, epsilon: float) -> Array:
        """Parameters [P] at the minimiser of the proximal Bregman objective, certified.

        Args:
            example: Index of the training example.
            epsilon: Its weight.

        Raises:
            Undecided: Biases are not tracked, or refimpl finds no minimiser.
        """
        if self.conventions.bias == "none":
            raise Undecided("biases are not tracked: the retrained model is another one")
        if epsilon == 0:
            return self.problem.parameters.numpy()[self.order]
        # c (mean D + epsilon l) + lambda/2 |.|^2 has the minimiser of damping lambda / c.
        damping = self.case.damping / self.loss_scale
        response = of_problem.bregman_response(self.problem, example, epsilon, damping)
        if not bool(response.certificate.converged.all()):
            raise Undecided("refimpl itself finds no minimiser of this objective to 1e-10")
        return response.parameters[0].numpy()[self.order]

    def gaps(self) -> dict[str, float]:
        """Smallest distance of two eigenvalues of A or S outside the null space, over the norm.

        Returns:
            By layer; infinity where there is one eigenvalue at most.
        """
        gaps: dict[str, float] = {}
        for name, (w_A, _, w_S, _) in self.basis.items():
            Lambda = self.eigenvalues[name]
            gaps[name] = min(gap(w_A, Lambda.max(axis=0)), gap(w_S, Lambda.max(axis=1)))
        return gaps

    def shapes(self) -> dict[str, tuple[int, int]]:
        """(O, I) of every layer."""
        return shapes(self.case, self.conventions)

"""The stages of the pipeline, from gradients to responses."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from refimpl.oracle.pipeline.layout import Matrices
from refimpl.oracle.pipeline.retraining import Retraining
from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.adapter import Declaration, Unsupported

__all__ = ["Pipeline"]


class Pipeline(Retraining):
    """Every stage in every convention.

    Args:
        declaration: Conventions and curvature of the answers.
    """

    declaration = Declaration("pipeline")

    def __init__(self, declaration: Declaration | None = None) -> None:
        if declaration is not None:
            self.declaration = declaration

    # Gradients ----------------------------------------------------------------------------------

    def example_gradients(
        self, case: Case, x: Shaped[Tensor, "n ..."], y: Shaped[Tensor, "n ..."]
    ) -> Matrices:
        """Gradients of the example losses, by layer."""
        run = self.forward(case, self.module(case), x, y)
        g = self.backward(run, self.loss_gradient(case, run.f, y)[None])
        return self.in_layers(case, {n: self.matrices(g[n], run.a[n])[0] for n in g})

    def training_gradients(self, case: Case) -> Matrices:
        """Gradients of all training examples' losses [N, O, I]."""
        parts = [self.example_gradients(case, x, y) for _, x, y in self.batches(case)]
        return {name: torch.cat([p[name] for p in parts]) for name in parts[0]}

    def query_gradients(self, case: Case) -> Matrices:
        """Gradients of the queries' losses [Q, O, I]."""
        return self.example_gradients(case, *self.queries(case))

    def gradients(self, case: Case) -> dict[str, Array]:
        """See `Adapter`."""
        reduced = case.conventions.loss_reduction == "example_mean"
        scale = 1 / case.num_examples if reduced else 1.0
        return {n: (scale * g).numpy() for n, g in self.training_gradients(case).items()}

    # Factors ------------------------------------------------------------------------------------

    def factors(self, case: Case, seed: int) -> dict[str, tuple[Array, Array]]:
        """See `Adapter`."""
        model, sums = self.module(case), {}
        for place, x, y in self.batches(case):
            run = self.forward(case, model, x, y)
            g = self.backward(run, self.pseudo_gradients(case, run.f, y, place, seed))
            for name in g:
                a, counted, rows = self.shared(case, run.a[name], run.counted[name], g[name])
                new = self.a_sum(a, counted), self.a_count(counted), self.s_sum(rows)
                old = sums.get(name, (0, 0, 0))
                sums[name] = tuple(o + n for o, n in zip(old, new, strict=True))
        whole = {
            name: (self.a_mean(A, count), self.s_mean(S, case.num_examples))
            for name, (A, count, S) in sums.items()
        }
        return self.factors_in_layers(case, whole)

    def shared(
        self,
        case: Case,
        a: Float[Tensor, "n R I"],
        counted: Float[Tensor, "n R"],
        g: Float[Tensor, "K n R O"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rows as the weight sharing has them: each position, or a's mean and g's sum over them."""
        if case.conventions.weight_sharing == "expand":
            return a, counted, g
        share = counted / counted.sum(dim=1, keepdim=True).clamp(min=1)
        some = (counted.sum(dim=1, keepdim=True) > 0).to(counted)
        return (share[..., None].to(a) * a).sum(dim=1, keepdim=True), some, g.sum(2, keepdim=True)

    def a_sum(
        self, a: Float[Tensor, "n R I"], counted: Float[Tensor, "n R"]
    ) -> Float[Tensor, "I I"]:
        """Sum of a a^T over the counted rows."""
        rows = torch.where(counted[..., None] > 0, a, 0.0).flatten(0, 1)
        return rows.T @ rows

    def a_count(self, counted: Float[Tensor, "n R"]) -> Float[Tensor, ""]:
        """The number of counted rows."""
        return counted.sum()

    def s_sum(self, g: Float[Tensor, "K n R O"]) -> Float[Tensor, "O O"]:
        """Sum of g g^T over directions, examples and rows."""
        rows = g.flatten(0, 2)
        return rows.T @ rows

    def a_mean(self, A: Float[Tensor, "I I"], count: Float[Tensor, ""]) -> Float[Tensor, "I I"]:
        """A: the mean over all counted rows."""
        return A / count.clamp(min=1).to(A)

    def s_mean(self, S: Float[Tensor, "O O"], N: int) -> Float[Tensor, "O O"]:
        """S: the mean over examples of the sums over their rows."""
        return S / N

    def factors_in_layers(
        self, case: Case, whole: Mapping[str, tuple[Tensor, Tensor]]
    ) -> dict[str, tuple[Array, Array]]:
        """A and S by layer, with the bias where the conventions want it."""
        layers: dict[str, tuple[Array, Array]] = {}
        for name, layer in self.blocks(case).items():
            A, S = (m.numpy() for m in whole[name])
            if not layer["bias"] or case.conventions.bias == "last_column":
                layers[name] = A, S
                continue
            layers[name] = A[:-1, :-1], S
            if case.conventions.bias == "separate":
                layers[f"{name}.bias"] = A[-1:, -1:], S
        return layers

    # Eigenbasis and corrected eigenvalues -------------------------------------------------------

    def eigh(self, matrix: Array) -> tuple[Array, Array]:
        """Eigenvalues and eigenvectors, as columns, of a symmetric matrix."""
        w, Q = np.linalg.eigh(matrix)
        return w, Q

    def eigenbasis(
        self, factors: dict[str, tuple[Array, Array]]
    ) -> dict[str, tuple[Array, Array, Array, Array]]:
        """See `Adapter`."""
        return {name: (*self.eigh(A), *self.eigh(S)) for name, (A, S) in factors.items()}

    def eigenvalues(
        self, case: Case, basis: dict[str, tuple[Array, Array, Array, Array]], seed: int
    ) -> dict[str, Array]:
        """See `Adapter`."""
        model, total = self.module(case), {}
        for place, x, y in self.batches(case):
            run = self.forward(case, model, x, y)
            g = self.backward(run, self.pseudo_gradients(case, run.f, y, place, seed))
            u = self.in_layers(case, {n: self.matrices(g[n], run.a[n]) for n in g})
            for name, matrices in u.items():
                Q_A, Q_S = (torch.tensor(basis[name][i]).to(matrices) for i in (1, 3))
                total[name] = total.get(name, 0) + self.squares(matrices, Q_A, Q_S)
        return {n: self.lambda_mean(t, case.num_examples).numpy() for n, t in total.items()}

    def squares(
        self,
        u: Float[Tensor, "K n O I"],
        Q_A: Float[Tensor, "I I"],
        Q_S: Float[Tensor, "O O"],
    ) -> Float[Tensor, "O I"]:
        """Sum over directions and examples of (Q_S^T u Q_A)^2."""
        return ((Q_S.T @ u @ Q_A) ** 2).sum(dim=(0, 1))

    def lambda_mean(self, total: Float[Tensor, "O I"], N: int) -> Float[Tensor, "O I"]:
        """The mean over examples."""
        return total / N

    # The Gauss-Newton Hessian and damped solves -------------------------------------------------

    def gauss_newton_rows(self, case: Case) -> Float[Tensor, "rows P"]:
        """U with U^T U / N the Gauss-Newton Hessian: J_n^T times the columns of a root of H_n."""
        model = self.module(case)
        parts: list[Tensor] = []
        for _, x, y in self.batches(case):
            run = self.forward(case, model, x, y)
            g = self.backward(run, self.gauss_newton_directions(case, run.f, y))
            u = self.in_layers(case, {n: self.matrices(g[n], run.a[n]) for n in g})
            parts.append(self.flat(case, u).flatten(0, 1))
        return torch.cat(parts)

    def gauss_newton_directions(
        self, case: Case, f: Float[Tensor, "n T C"], y: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "K n T C"]:
        """A root of the output Hessian, whatever labels the Fisher has."""
        return self.directions(case, f, y)

    def gauss_newton(self, case: Case, vectors: Array) -> Array:
        """See `Adapter`."""
        U = self.gauss_newton_rows(case)
        V = torch.tensor(vectors).to(U)
        return ((V @ U.T) @ U / case.num_examples).numpy()

    def solve(self, state: State, vectors: Array, damping: float) -> Array:
        """See `Adapter`."""
        case = state.case
        if self.declaration.curvature == "gauss_newton":
            if case.conventions.fisher == "empirical":
                g = self.flat(case, self.training_gradients(case)).numpy()
                G = g.T @ g / case.num_examples
            else:
                G = self.gauss_newton(case, np.eye(vectors.shape[1]))
            return self.invert_damped(G, vectors, damping)
        assert state.basis is not None
        sizes = {n: (len(w_S), len(w_A)) for n, (w_A, _, w_S, _) in state.basis.items()}
        V = self.unflat(case, torch.tensor(vectors), sizes)
        for name, (w_A, Q_A, w_S, Q_S) in state.basis.items():
            Lambda = None if state.eigenvalues is None else state.eigenvalues[name]
            D = self.damped(case, w_A, w_S, Lambda, damping)
            V[name] = self.precondition(V[name], *map(torch.tensor, (Q_A, Q_S, D)))
        return self.flat(case, V).numpy()

    def invert_damped(self, G: Array, vectors: Array, damping: float) -> Array:
        """(G + damping I)^-1 times each row."""
        return self.invert(G + damping * np.eye(len(G)), vectors)

    def invert(self, matrix: Array, vectors: Array) -> Array:
        """The inverse of a dense symmetric matrix times each row."""
        return np.linalg.solve(matrix, vectors.T).T

    def damped(
        self, case: Case, w_A: Array, w_S: Array, Lambda: Array | None, damping: float
    ) -> Array:
        """Damped eigenvalues [O, I] of a layer; Lambda is EK-FAC's, where there is one."""
        kronecker = self.declaration.curvature == "kfac"
        if kronecker and case.conventions.damping == "factored":
            ratio = w_A.mean() / w_S.mean() if w_A.mean() > 0 and w_S.mean() > 0 else 1.0
            pi, root = ratio**0.5, damping**0.5
            return np.outer(w_S + root / pi, w_A + root * pi)
        D = np.outer(w_S, w_A) if kronecker or Lambda is None else Lambda
        relative = case.conventions.damping == "relative"
        return D + damping * (D.mean() if relative else 1.0)

    def precondition(
        self,
        V: Float[Tensor, "k O I"],
        Q_A: Float[Tensor, "I I"],
        Q_S: Float[Tensor, "O O"],
        D: Float[Tensor, "O I"],
    ) -> Float[Tensor, "k O I"]:
        """Q_S ((Q_S^T V Q_A) / D) Q_A^T (Grosse et al. 2023, eq. 20)."""
        return Q_S @ ((Q_S.T @ V @ Q_A) / D) @ Q_A.T

    # Scores and responses -----------------------------------------------------------------------

    def scores(self, case: Case, seed: int) -> Array:
        """See `Adapter`."""
        q = self.flat(case, self.query_gradients(case)).numpy()
        g = self.flat(case, self.training_gradients(case)).numpy()
        return self.scored(case, self.solve(self.state(case, seed), q, case.damping), g)

    def state(self, case: Case, seed: int) -> State:
        """Factors, basis and eigenvalues from the stages before `solve`."""
        kind = self.declaration.curvature
        if kind == "gauss_newton":
            return State(case)
        factors = self.factors(case, seed)
        basis = self.eigenbasis(factors)
        Lambda = self.eigenvalues(case, basis, seed) if kind == "ekfac" else None
        return State(case, factors, basis, Lambda)

    def scored(self, case: Case, solved: Array, g: Array) -> Array:
        """Influences [Q, N] from solved query gradients [Q, P] and training gradients [N, P]."""
        scores = solved @ g.T
        scores = -scores if case.conventions.sign == "influence" else scores
        return scores / case.num_examples if case.conventions.score_scale == "1/N" else scores

    def response(self, case: Case, example: int, epsilon: float) -> Array:
        """See `Adapter`."""
        if case.conventions.bias == "none":
            raise Unsupported("the biases are not tracked: the retrained model is another one")
        whole = self.minimiser(case, example, epsilon)
        return self.flat(case, self.in_layers(case, whole)).numpy()

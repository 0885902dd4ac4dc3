"""The exact Gauss-Newton Hessian by three routes, and certified solves with it."""

from typing import Any, Literal, get_args

from jaxtyping import Float
from torch import Tensor

from refimpl.curvature.certificates import Solution
from refimpl.curvature.curvature import Curvature
from refimpl.curvature.dense import Dense
from refimpl.exact.assembly import assemble
from refimpl.exact.estimates import available_memory, costs
from refimpl.exact.iterative import Iterative
from refimpl.exact.kernel import Kernel
from refimpl.problem.problem import Problem

__all__ = ["GaussNewton", "Method"]

Method = Literal["auto", "primal", "dual", "iterative"]

# Operations that the matrix itself is always worth (some seconds): it answers damping 0 and spectra.
WORTHWHILE = 1e11


class GaussNewton(Curvature):
    """The exact Gauss-Newton Hessian of a problem (Grosse et al. 2023, eq. 8).

    Args:
        problem: The problem.
        method: "primal" forms the P x P matrix and factors it by Cholesky; "dual" factors the matrix
            of size N times the directions of an example instead, and never forms a P x P one;
            "iterative" forms neither and solves by conjugate gradients; "auto" is primal where that
            is a matter of seconds, else the cheapest that fits the memory by `exact.costs`.
        options: For "iterative": see `exact.Iterative`.

    Raises:
        ValueError: Unknown method, options of another method, or no route that fits the memory.
    """

    def __init__(self, problem: Problem, method: Method = "auto", **options: Any) -> None:
        if method not in get_args(Method):
            raise ValueError(f"method must be one of {get_args(Method)}, got {method!r}")
        if options and method != "iterative":
            raise ValueError(f"{sorted(options)} are options of method='iterative' alone")
        super().__init__(problem)
        self.method: Method = _choose(problem, method)
        self._route = _route(problem, self.method, options)

    def __repr__(self) -> str:
        return f"GaussNewton(P={self.num_parameters}, method={self.method!r})"

    def apply(self, vectors: Float[Tensor, "*k P"]) -> Float[Tensor, "*k P"]:
        """G v; see `Curvature.apply`."""
        return self._route.apply(vectors)

    def solve(self, vectors: Float[Tensor, "*k P"], damping: float) -> Solution:
        """(G + damping I)^-1 v with a certificate; see `Curvature.solve`."""
        return self._route.solve(vectors, damping)

    def solve_uncertified(
        self, vectors: Float[Tensor, "k P"], damping: float
    ) -> Float[Tensor, "k P"]:
        """(G + damping I)^-1 v for each row v, without a certificate or refinements."""
        return self._route.solve_uncertified(vectors, damping)

    def spectrum(self, *, exact: bool = False) -> tuple[float, float]:
        """Extreme eigenvalues; (0, the largest to 0.1 %) unless `exact`."""
        return self._route.spectrum(exact=exact)

    def dense(self) -> Float[Tensor, "P P"]:
        """The matrix itself."""
        return self._route.dense()

    def block(self, name: str) -> Float[Tensor, "B B"]:
        """The diagonal block of one layer, [O I, O I].

        Args:
            name: The block's name in `problem.layout.blocks`.

        Raises:
            ValueError: No block has that name.
        """
        for block in self.layout.blocks:
            if block.name == name:
                if isinstance(self._route, Dense):
                    return self._route.blocks[0][block.slice, block.slice]
                columns = self.parameters.new_zeros(
                    block.outputs * block.inputs, self.num_parameters
                )
                columns[:, block.slice].fill_diagonal_(1)
                return self._route.apply(columns)[:, block.slice]
        raise ValueError(f"no block {name!r}: blocks are {[b.name for b in self.layout.blocks]}")


def _choose(problem: Problem, method: Method) -> Method:
    """The method itself, or for "auto" the one to take; refused where the memory does not hold it."""
    estimates = costs(problem)
    free = available_memory(problem.device)
    fitting = [c for c in estimates if c.bytes <= free and method in ("auto", c.method)]
    if not fitting:
        raise ValueError(
            f"method={method!r} needs more memory than the {free / 1e9:.1f} GB that are free:\n"
            + "\n".join(str(c) for c in estimates)
        )
    if method == "auto":
        quick = [c for c in fitting if c.method == "primal" and c.flops <= WORTHWHILE]
        return (quick or sorted(fitting, key=lambda c: c.flops))[0].method
    return method


def _route(problem: Problem, method: Method, options: dict[str, Any]) -> Curvature:
    if method == "primal":
        return Dense(problem, [assemble(problem)])
    if method == "dual":
        return Kernel(problem)
    return Iterative(problem, **options)

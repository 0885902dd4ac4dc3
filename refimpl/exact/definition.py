"""The definitions, by torch.func and nothing else: written as in the papers, never optimised.

Nothing here uses the layers' structure or a loss's closed-form Hessian; what does so is compared
with this. The sums over examples are taken in batches, so that memory stays bounded.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.func import grad, hessian as function_hessian, jacrev, jvp, vmap

from refimpl.problem import memory
from refimpl.problem.data import Data, index
from refimpl.problem.problem import Problem

__all__ = ["gauss_newton_matrix", "hessian", "jacobian", "output_hessian"]


def _one_output(problem: Problem) -> Callable[[Tensor, Data], Tensor]:
    """f_theta(x) of one example, flattened."""

    def f(theta: Float[Tensor, " P"], x: Data) -> Float[Tensor, " D"]:
        return problem.outputs(index(x, None), theta).reshape(-1)

    return f


def _jacobians(problem: Problem, inputs: Data) -> Float[Tensor, "N D P"]:
    return vmap(jacrev(_one_output(problem)), in_dims=(None, 0))(problem.parameters, inputs)


def jacobian(problem: Problem) -> Float[Tensor, "N outputs P"]:
    """J_n = df_theta(x_n) / dtheta of every training example, tokens and outputs as one axis.

    Returns:
        Jacobians [N, outputs, P].
    """
    return torch.cat([_jacobians(problem, x) for _, x, _ in problem.batches(_batch(problem))])


def output_hessian(problem: Problem) -> Float[Tensor, "N outputs outputs"]:
    """H_n = d2 l(f, y_n) / df2 at f = f_theta(x_n), by differentiating the loss's value twice.

    Returns:
        Output Hessians [N, outputs, outputs].
    """
    return _output_hessians(problem, problem.inputs, problem.targets)


def _output_hessians(
    problem: Problem, inputs: Data, targets: Shaped[Tensor, "N ..."]
) -> Float[Tensor, "N D D"]:
    outputs = problem.outputs(inputs)

    def loss(f: Float[Tensor, " D"], y: Shaped[Tensor, "..."]) -> Float[Tensor, ""]:
        return problem.loss.value(f.reshape(1, *outputs.shape[1:]), y[None])[0]

    return vmap(function_hessian(loss))(outputs.reshape(outputs.shape[0], -1), targets)


def gauss_newton_matrix(problem: Problem) -> Float[Tensor, "P P"]:
    """G = (1/N) sum_n J_n^T H_n J_n (Grosse et al. 2023, eq. 8; Martens 2020, section 8).

    Returns:
        The Gauss-Newton Hessian [P, P], undamped.
    """
    total = problem.parameters.new_zeros(problem.num_parameters, problem.num_parameters)
    for _, inputs, targets in problem.batches(_batch(problem)):
        jacobians = _jacobians(problem, inputs)
        hessians = _output_hessians(problem, inputs, targets)
        # sum_n J_n^T (H_n J_n), the sum over examples and outputs being one matrix product
        total += jacobians.flatten(0, 1).T @ (hessians @ jacobians).flatten(0, 1)
    return total / problem.num_examples


def hessian(problem: Problem) -> Float[Tensor, "P P"]:
    """The full Hessian of J, the mean of the example losses, in the tracked parameters.

    Returns:
        The Hessian [P, P], which may be indefinite.
    """
    total = problem.parameters.new_zeros(problem.num_parameters, problem.num_parameters)
    eye = torch.eye(problem.num_parameters, dtype=problem.dtype, device=problem.device)
    for _, inputs, targets in problem.batches(max(1, _batch(problem) // 4)):

        def objective(
            theta: Float[Tensor, " P"], x: Data = inputs, y: Shaped[Tensor, "B ..."] = targets
        ) -> Float[Tensor, ""]:
            return problem.loss.value(problem.outputs(x, theta), y).sum()

        def row(v: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
            return jvp(grad(objective), (problem.parameters,), (v,))[1]

        total += vmap(row, chunk_size=64)(eye)
    return total / problem.num_examples


def _batch(problem: Problem) -> int:
    outputs = problem.outputs(problem.examples_up_to(1)[0]).numel()
    return max(1, memory.JACOBIANS // (outputs * problem.num_parameters))

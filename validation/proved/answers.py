"""refimpl's float64 answers on a micro problem; nothing else in this room calls refimpl."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import nn

import refimpl as ri
from validation.proved.problems import MicroProblem

__all__ = ["Answers", "computed_answers", "torch_problem"]

Factors = list[tuple[ndarray, ndarray]]


@dataclass(frozen=True)
class Answers:
    """refimpl's float64 answers as arrays; solves are of the right-hand sides in `Truth`."""

    outputs: Float[ndarray, "N C"]
    jacobian: Float[ndarray, "NC P"]
    gradients: Float[ndarray, "N P"]
    query_gradients: Float[ndarray, "Q P"]
    by_definition: Float[ndarray, "P P"]
    structured: Float[ndarray, "P P"]
    hessian: Float[ndarray, "P P"]
    factors: Factors
    basis: Factors
    eigenvalues: list[Float[ndarray, "_O _I"]]
    solves: dict[str, Float[ndarray, "k P"]]
    influences: dict[str, Float[ndarray, "Q N"]]


def computed_answers(problem: MicroProblem, vectors: Float[ndarray, "k P"]) -> Answers:
    """Compute every quantity of a problem with refimpl in float64."""
    p = torch_problem(problem)
    queries = torch.from_numpy(problem.query_inputs), torch.from_numpy(problem.query_targets)
    kfac, ekfac = ri.fast.KFAC(p), ri.fast.EKFAC(p)
    curvatures = {"GNH": ri.exact.GaussNewton(p), "K-FAC": kfac, "EK-FAC": ekfac}
    rhs, damping = torch.from_numpy(vectors), problem.damping
    return Answers(
        outputs=p.outputs().numpy(),
        jacobian=ri.exact.jacobian(p).flatten(0, 1).numpy(),
        gradients=p.gradients().numpy(),
        query_gradients=p.gradients(*queries).numpy(),
        by_definition=ri.exact.gauss_newton_matrix(p).numpy(),
        structured=curvatures["GNH"].dense().numpy(),
        hessian=ri.exact.hessian(p).numpy(),
        factors=[(A.numpy(), S.numpy()) for A, S in kfac.factors.values()],
        basis=[(Q_A.numpy(), Q_S.numpy()) for Q_A, Q_S, _ in ekfac.eigen.values()],
        eigenvalues=[L.numpy() for _, _, L in ekfac.eigen.values()],
        solves={name: c.solve(rhs, damping).value.numpy() for name, c in curvatures.items()},
        influences={
            name: ri.influence(p, *queries, curvature=c, damping=damping).numpy()
            for name, c in curvatures.items()
        },
    )


def torch_problem(problem: MicroProblem) -> ri.Problem:
    """The micro problem as a Problem, with the same numbers in a torch model."""
    modules: list[nn.Module] = []
    for matrix in problem.matrices:
        outputs, columns = matrix.shape
        inputs = columns - problem.bias
        linear = nn.Linear(inputs, outputs, bias=problem.bias, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(matrix[:, :inputs]))
            if problem.bias:
                linear.bias.copy_(torch.from_numpy(matrix[:, -1]))
        modules.append(linear)
        modules.append(nn.Tanh() if problem.activation == "tanh" else nn.Softplus())
    modules.pop()
    losses = {"cross_entropy": ri.losses.CrossEntropy(), "squared_error": ri.losses.SquaredError()}
    x, y = torch.from_numpy(problem.inputs), torch.from_numpy(problem.targets)
    return ri.Problem(nn.Sequential(*modules), losses[problem.loss], x, y)

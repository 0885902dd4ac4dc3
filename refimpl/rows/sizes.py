"""The numbers of rows, directions and other figures of one example, read off a pass of the model."""

from dataclasses import dataclass

from jaxtyping import Shaped
from torch import Tensor

from refimpl.problem.problem import Problem
from refimpl.rows.hooks import Pass
from refimpl.rows.roots import output_root

__all__ = ["Shape", "Sizes", "shape_of_pass", "sizes_of_pass"]


@dataclass(frozen=True)
class Shape:
    """The shape of an example's outputs and rows.

    Args:
        outputs: Shape of its outputs, without the axis of the examples.
        positions: R, how many rows it has in each block.
    """

    outputs: tuple[int, ...]
    positions: dict[str, int]


@dataclass(frozen=True)
class Sizes:
    """The sizes of a training example.

    Args:
        shape: The shape of its outputs and rows.
        directions: Columns of the root that is taken of its output Hessian, all tokens together.
        root: Numbers in that root, T C K.
        numbers: Numbers that a backward pass in one direction holds: activations, and rows a and g.
    """

    shape: Shape
    directions: int
    root: int
    numbers: int

    @property
    def positions(self) -> dict[str, int]:
        """R, how many rows it has in each block."""
        return self.shape.positions


def shape_of_pass(run: Pass) -> Shape:
    """The shape of the examples of a pass."""
    positions = {name: a.shape[1] for name, a in run.inputs.items()}
    return Shape(tuple(run.outputs.shape[1:]), positions)


def sizes_of_pass(problem: Problem, run: Pass, targets: Shaped[Tensor, "N ..."]) -> Sizes:
    """The sizes of the examples of a pass.

    Args:
        problem: The problem.
        run: A pass over training examples.
        targets: Their targets, [N, ...].
    """
    root, _ = output_root(problem, run.outputs[:1], targets[:1], run.readout)
    _, tokens, _, columns = root.shape
    shape = shape_of_pass(run)
    rows = sum(shape.positions[b.name] * (b.inputs + b.outputs) for b in problem.layout.blocks)
    return Sizes(shape, tokens * columns, root.numel(), problem.activations + rows)

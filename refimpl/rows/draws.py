"""The random numbers behind sampled labels."""

from jaxtyping import Float
from torch import Generator, Tensor

from refimpl.losses.likelihood import label_distribution
from refimpl.problem.problem import Problem
from refimpl.rows.verification import of

__all__ = ["label_draws", "require_samples"]


def label_draws(
    problem: Problem, samples: int, generator: Generator | None
) -> Float[Tensor, "N samples ..."]:
    """The random numbers of all sampled labels at once, so that no batch size can change them.

    Args:
        problem: The problem.
        samples: Labels per example.
        generator: Source of the numbers; None: a new generator with seed 0.

    Raises:
        ValueError: samples < 1, a loss without a label distribution, or a model whose gradients the
            layers do not give.
    """
    require_samples(samples)
    like = problem.parameters.new_zeros(()).expand(problem.num_examples, *of(problem).shape.outputs)
    return label_distribution(problem.loss).draws(like, samples, generator)


def require_samples(samples: int) -> None:
    """Refuse fewer labels than one.

    Args:
        samples: Labels per example.

    Raises:
        ValueError: samples < 1.
    """
    if samples < 1:
        raise ValueError(f"samples must be >= 1, got {samples}")

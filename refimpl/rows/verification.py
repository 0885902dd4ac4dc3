"""Verify once that a problem's layers give its gradients, and note how much an example holds.

A problem never changes, so its sizes are kept as long as it lives.
"""

from collections.abc import Generator, Hashable
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.utils import _pytree as pytree

from refimpl.losses.graph import recorded
from refimpl.problem.data import Data, index
from refimpl.problem.gradients import check_same_gradient
from refimpl.problem.probe import outputs_of
from refimpl.problem.problem import Problem
from refimpl.rows.hooks import Pass, forward_pass
from refimpl.rows.matrices import gradient_matrices
from refimpl.rows.sizes import Shape, Sizes, shape_of_pass, sizes_of_pass

__all__ = ["explained_by_the_first", "gradients_come_from_layers", "of", "shape_of", "sizes_of"]

_sizes: WeakKeyDictionary[Problem, Sizes] = WeakKeyDictionary()
_refusals: WeakKeyDictionary[Problem, str] = WeakKeyDictionary()
_shapes: WeakKeyDictionary[Problem, dict[Hashable, Shape]] = WeakKeyDictionary()


def of(problem: Problem) -> Sizes:
    """The sizes of a problem's rows; refuses a model whose gradients its layers' calls do not give.

    A parameter used functionally, or a layer called with the examples on another axis, would make
    sum_r g_r a_r^T wrong without a sign of it. The gradient of a random combination of the first
    examples' outputs shows it: an error of that kind is of order one, rounding of order u.

    Args:
        problem: The problem. Two passes over its first examples are made when it is first asked for.

    Raises:
        ValueError: The gradients differ, or are others under vmap.
    """
    if problem in _refusals:
        raise ValueError(_refusals[problem])
    if problem not in _sizes:
        try:
            _sizes[problem] = _verified(problem)
        except ValueError as error:
            _refusals[problem] = str(error)
            raise
    return _sizes[problem]


def gradients_come_from_layers(problem: Problem) -> bool:
    """Whether the layers' inputs and gradients give the model's gradients, as `of` verifies."""
    try:
        of(problem)
    except ValueError:
        return False
    return True


def sizes_of(problem: Problem) -> Sizes:
    """The sizes of a problem's rows, whether they give its gradients or not.

    Raises:
        ValueError: A layer's leading axis does not hold the examples.
    """
    try:
        return of(problem)
    except (ValueError, RuntimeError):  # a model without a rule for vmap has sizes all the same
        inputs, targets = problem.examples_up_to(1)
        return sizes_of_pass(problem, forward_pass(problem, inputs, targets), targets)


def shape_of(problem: Problem, inputs: Data) -> Shape:
    """The shape of an example's outputs and rows.

    Inputs like the training examples have theirs; of others the first is passed through the model, once
    for every length of a sequence or size of an image.

    Args:
        problem: A problem whose layers give its gradients.
        inputs: Inputs, [M, ...], in the problem's dtype.

    Raises:
        ValueError: As for `of`; the model fails on the first of the inputs.
    """
    known = _shapes.get(problem)
    if known is None:
        known = _shapes[problem] = {_signature(problem.inputs): of(problem).shape}
    signature = _signature(inputs)
    if signature not in known:
        with explained_by_the_first(problem, inputs):
            run = forward_pass(problem, index(inputs, slice(0, 1)))
        known[signature] = shape_of_pass(run)
    return known[signature]


@contextmanager
def explained_by_the_first(problem: Problem, inputs: Data) -> Generator[None]:
    """Explain a failed pass over inputs where their first example fails by itself.

    Args:
        problem: The problem.
        inputs: Inputs, [M, ...].

    Raises:
        ValueError: The model fails on the first of the inputs.
    """
    try:
        yield
    except Exception:
        outputs_of(problem.outputs, index(inputs, slice(0, 1)), problem.dtype)
        raise


def _verified(problem: Problem) -> Sizes:
    """The sizes of the first examples' rows, once these and torch.func agree on the gradients.

    Two passes answer three questions: one with hooks, at parameters that require a gradient, and one
    under vmap, where every example has parameters of its own. The loss must have
    the same gradient in both; and the rows of the first must give the gradient that a random combination
    of the outputs has in the second.
    """
    inputs, targets = problem.examples_up_to(3)
    with torch.inference_mode(False), torch.enable_grad():
        inputs, targets = pytree.tree_map(recorded, inputs), recorded(targets)
        theta = recorded(problem.parameters).detach().requires_grad_()
        run = forward_pass(problem, inputs, targets, parameters=theta)
        together = _slope(problem.loss.value(run.graph, targets).sum(), theta)

        generator = torch.Generator().manual_seed(0)
        v = torch.randn(run.outputs.shape, generator=generator, dtype=problem.dtype).to(run.outputs)
        rows = run.backward(v[None])

        def loss_and_combination(
            theta: Float[Tensor, " P"],
            x: Data,
            y: Shaped[Tensor, "..."],
            w: Float[Tensor, "..."],
        ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
            outputs = problem.outputs(index(x, None), theta)
            return problem.loss.value(outputs, y[None])[0], (outputs[0] * w).sum()

        each = problem.parameters.expand(len(v), -1).detach().requires_grad_()
        losses, combinations = torch.func.vmap(loss_and_combination)(each, inputs, targets, v)
        check_same_gradient(_slope(losses.sum(), each).sum(dim=0), together)
        truth = _slope(combinations.sum(), each)
    _require_rows_make(truth, problem, run, rows)
    return sizes_of_pass(problem, run, targets)


def _slope(value: Float[Tensor, ""], at: Float[Tensor, "*K P"]) -> Float[Tensor, "*K P"]:
    """The gradient of a value; zero where it does not depend on the parameters."""
    if not value.requires_grad:
        return torch.zeros_like(at, requires_grad=False)
    return torch.autograd.grad(value, at, retain_graph=True, materialize_grads=True)[0]


def _require_rows_make(
    truth: Float[Tensor, "N P"],
    problem: Problem,
    run: Pass,
    rows: dict[str, Float[Tensor, "1 N _R _O"]],
) -> None:
    """Refuse rows whose products are not the gradients that torch.func gives."""
    ours = problem.layout.flatten(
        {name: gradient_matrices(g[0], run.inputs[name]) for name, g in rows.items()}
    )
    scale = max(float(truth.norm()), float(ours.norm()))
    for block in problem.layout.blocks:
        error = float((ours - truth)[:, block.slice].norm())
        if not error <= torch.finfo(problem.dtype).eps ** 0.5 * scale:
            raise ValueError(
                f"the gradient of layer '{block.layer}' is not sum_r g_r a_r^T over its calls: its "
                "parameters are used outside the module's forward, or the layer is called with the "
                "examples on another axis than the first. Leave it out of `layers`"
            )


def _signature(inputs: Data) -> Hashable:
    """A key for the examples' shapes: names, shapes without the axis of examples, dtypes."""
    leaves, structure = pytree.tree_flatten(inputs)
    return str(structure), tuple((tuple(leaf.shape[1:]), leaf.dtype) for leaf in leaves)

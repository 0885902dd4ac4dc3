"""Cases changed in a way that should change an answer in a known way, or not at all."""

from dataclasses import replace

import numpy as np
import torch

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.truth.truth import Undecided

__all__ = ["relabelled", "repadded", "repeated", "reweighted", "selected", "single_token_cases"]


def selected(case: Case, places: Array) -> Case:
    """The case with selected training examples in a given order.

    Args:
        case: Of N training examples.
        places: Indices of the examples [k], in order; an index may repeat.
    """
    return case.but(inputs=case.inputs[places], labels=case.labels[places])


def repeated(case: Case) -> Case:
    """Every training example twice."""
    return selected(case, np.tile(np.arange(case.num_examples), 2))


def relabelled(case: Case) -> Case:
    """Other labels of the training data wherever they count; weights of tokens as they were.

    Raises:
        Undecided: There is one label only, or weights that belong to labels.
    """
    y = case.labels
    if case.loss.class_weight is not None or case.loss.pos_weight is not None:
        raise Undecided("labels have weights of their own: other labels are another Fisher")
    if case.loss.kind == "squared_error":
        return case.but(labels=1.0 - 2.0 * y)
    if case.loss.kind == "binary_cross_entropy":
        return case.but(labels=1.0 - y)
    classes = case.problem.outputs().shape[-1]
    names = np.array([c for c in range(classes) if c != case.loss.ignore_index])
    if len(names) < 2:
        raise Undecided("one class: there is no other label")
    place = np.searchsorted(names, np.where(case.mask, y, names[0]))
    other = names[(place + 1) % len(names)].astype(y.dtype)
    return case.but(labels=np.where(case.mask, other, y))


def repadded(case: Case) -> Case:
    """The case with other inputs at ignored tokens, where no counted token depends on them.

    Raises:
        Undecided: Every token counts, or some that count look at those that do not.
    """
    mask, x = case.mask, case.inputs
    if mask.all() or x.shape[: mask.ndim] != mask.shape:
        raise Undecided("no token of this case is ignored")
    if x.dtype.kind == "f":
        other = 0.5 - 2.0 * x
    else:
        sizes = [
            len(case.parameters[f"{layer['name']}.weight"])
            for layer in case.layers
            if layer["op"] == "embedding"
        ]
        other = (x + 1) % sizes[0]
    counted = mask.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim))
    changed = case.but(inputs=np.where(counted, x, other))
    outputs = [c.problem.outputs()[torch.from_numpy(mask)] for c in (case, changed)]
    if not torch.allclose(*outputs, rtol=1e-12, atol=1e-12):
        raise Undecided("tokens that count look at those that do not")
    return changed


def reweighted(case: Case, factor: float, damping: float) -> Case:
    """The loss times a number, by its class weights.

    Args:
        case: With class weights.
        factor: Multiplies the class weights.
        damping: Multiplies the damping.

    Raises:
        Undecided: The loss has no class weights.
    """
    if case.loss.class_weight is None:
        raise Undecided("the loss has no class weights to multiply")
    weights = tuple(factor * w for w in case.loss.class_weight)
    loss = replace(case.loss, class_weight=weights)
    return case.but(loss=loss, damping=case.damping * damping)


def single_token_cases(case: Case) -> list[Case]:
    """Cases that each count the token at one place only, for every place.

    Raises:
        Undecided: No example has two tokens that count.
    """
    mask = case.mask
    if (
        case.loss.kind != "cross_entropy"
        or mask.ndim < 2
        or mask.sum(axis=tuple(range(1, mask.ndim))).max() < 2
    ):
        raise Undecided("no example has two tokens that count")
    single_tokens: list[Case] = []
    for place in np.ndindex(mask.shape[1:]):
        here = np.zeros(mask.shape, dtype=bool)
        here[(slice(None), *place)] = True
        single_tokens.append(case.but(labels=np.where(here, case.labels, case.loss.ignore_index)))
    return single_tokens

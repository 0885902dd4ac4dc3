"""Labels enumerated instead of drawn, for libraries that let their user draw them.

A library that estimates the Fisher from one drawn label per example asks its user for a loss at drawn
labels. Here the data set holds every example K times, and copy k has the k-th of all labels (t, c) of
one token t, uniformly drawn so to speak and weighted for it: its loss has the output gradient
sqrt(K) R_t[:, c], where R_t R_t^T is the output Hessian of token t. The mean over the K N copies is
then the expectation over labels, in closed form: cross terms between tokens, whose labels are
independent with mean gradient zero, vanish in the expectation and do not occur here.
"""

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from refimpl.losses import Loss
from refimpl.oracle.question.case import Case

__all__ = ["enumerated", "loss_at", "plain"]


def enumerated(case: Case) -> TensorDataset:
    """Triples (input, label, k), every example K times in a row.

    Args:
        case: The case.
    """
    inputs, labels = case.dataset().tensors
    outputs = case.torch_module()(inputs).detach()
    root = case.loss.build().hessian_root(outputs, labels)
    copies = root.shape[1] * root.shape[3]
    which = torch.arange(copies).repeat(len(inputs))
    return TensorDataset(
        inputs.repeat_interleave(copies, 0), labels.repeat_interleave(copies, 0), which
    )


def plain(data: TensorDataset) -> TensorDataset:
    """Triples (input, label, 0), for where the data's labels are used.

    Args:
        data: Pairs.
    """
    inputs, labels = data.tensors
    return TensorDataset(inputs, labels, torch.zeros(len(inputs), dtype=torch.long))


def loss_at(loss: Loss, outputs: Tensor, labels: Tensor, which: Tensor) -> Tensor:
    """The sum over a batch of losses at the enumerated labels; linear in the outputs.

    Args:
        loss: The loss.
        outputs: Of the model, [b, ...].
        labels: The data's, which matter through class weights and masks alone.
        which: Copy of each example [b].
    """
    root = loss.hessian_root(outputs.detach(), labels)
    copies = root.shape[1] * root.shape[3]
    token, column = which // root.shape[3], which % root.shape[3]
    rows = torch.arange(len(which))
    direction = root[rows, token, :, column] * copies**0.5
    return (direction * outputs.reshape(root.shape[:3])[rows, token]).sum()

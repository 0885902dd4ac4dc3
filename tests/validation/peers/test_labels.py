"""Enumerated labels: over all copies of an example, pseudo-gradients have the Hessian as second moment."""

import pytest
import torch
from torch.testing import assert_close

from refimpl.oracle.cases import all_cases
from validation.peers.labels import enumerated, loss_at, plain

CASES = [c for c in all_cases().values() if c.num_examples < 11]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_the_mean_over_copies_is_the_expectation_over_labels(case):
    inputs, labels, which = enumerated(case).tensors
    loss = case.loss.build()
    outputs = case.torch_module()(inputs).detach().requires_grad_()
    gradient = torch.autograd.grad(loss_at(loss, outputs, labels, which), outputs)[0]
    copies = len(inputs) // case.num_examples

    u = gradient.reshape(case.num_examples, copies, -1)
    # Between tokens the Hessian is zero, and so must the cross terms be.
    hessian = torch.einsum("nki,nkj->nij", u, u) / copies
    first = case.dataset().tensors
    H = loss.hessian(case.torch_module()(first[0]).detach(), first[1])
    right = torch.stack([torch.block_diag(*h) for h in H])
    # Sums of `copies` products of numbers of the size of the entries' roots.
    assert_close(hessian, right, rtol=0, atol=1e-14 * float(right.abs().max() + 1))


def test_where_labels_are_not_drawn_there_is_one_copy():
    case = CASES[0]
    inputs, labels, which = plain(case.dataset()).tensors
    assert torch.equal(inputs, case.dataset().tensors[0])
    assert torch.equal(labels, case.dataset().tensors[1])
    assert not which.any()

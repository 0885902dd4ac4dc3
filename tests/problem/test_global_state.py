"""Nothing in refimpl touches the global random state, the default dtype, or the caller's model."""

import copy
import random

import numpy as np
import pytest
import torch

import refimpl as ri

MODEL = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
X, Y = torch.eye(6, 3), torch.arange(6) % 3


def lissa(problem: ri.Problem, depth: int) -> ri.fast.LiSSA:
    generator = torch.Generator().manual_seed(0)
    return ri.fast.LiSSA(problem, depth=depth, batch_size=2, generator=generator)


OPERATIONS = {
    "jacobian": ri.exact.jacobian,
    "hessian": ri.exact.hessian,
    "gauss_newton_matrix": ri.exact.gauss_newton_matrix,
    "GaussNewton": lambda p: ri.exact.GaussNewton(p).solve(p.parameters, 0.1),
    "response": lambda p: ri.exact.bregman_response(p, [0], epsilon=0.1, damping=0.1),
    "KFAC": lambda p: ri.fast.KFAC(p, fisher="sampled").solve(p.parameters, 0.1),
    "EKFAC": lambda p: ri.fast.EKFAC(p, fisher="sampled").solve(p.parameters, 0.1),
    "LiSSA": lambda p: lissa(p, 5).solve(p.parameters, 0.1),
    "BlockDiagonal": ri.fast.BlockDiagonal,
    "EmpiricalFisher": ri.fast.EmpiricalFisher,
    "influence": lambda p: ri.influence(p, X, Y, curvature=ri.fast.Diagonal(p), damping=0.1),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_global_state_and_the_callers_model_are_left_alone(name):
    model = copy.deepcopy(MODEL)
    before = copy.deepcopy(model.state_dict())
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    OPERATIONS[name](ri.Problem(model, ri.losses.CrossEntropy(), X, Y))
    assert torch.equal(states[0], torch.random.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()
    assert states[2] == random.getstate()
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert model.training

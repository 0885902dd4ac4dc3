"""The cost model: what it counts, what it chooses, what it refuses."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import refimpl as ri
from refimpl.exact.assembly import assemble
from refimpl.exact.costs import available_memory


def mlp(widths: list[int], n: int) -> ri.Problem:
    generator = torch.Generator().manual_seed(0)
    layers = [nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)]
    x = torch.randn(n, widths[0], generator=generator, dtype=torch.float64)
    y = torch.randint(widths[-1], (n,), generator=generator)
    return ri.Problem(nn.Sequential(*layers), ri.losses.CrossEntropy(), x, y)


def tokens() -> ri.Problem:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 2, 12, generator=generator, dtype=torch.float64)
    y = torch.randint(6, (20, 2), generator=generator)
    model = nn.Sequential(nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 6))
    return ri.Problem(model, ri.losses.CrossEntropy(), x, y)  # 4 pairs of positions, 10 directions


def test_operations_of_the_assembly_are_those_that_torch_counts():
    for problem in (mlp([30, 20, 5], 200), tokens()):
        primal = ri.exact.costs(problem, vectors=0)[0]
        counted = FlopCounterMode(display=False)
        with counted:
            assemble(problem)
        told = primal.flops - problem.num_parameters**3 / 3
        # The count also holds the passes through the model, and the tiles above the diagonal exceed
        # a quarter by about (1 + 1/O) (1 + 1/I): some parts in ten here.
        assert told <= counted.get_total_flops() <= 2 * told + 1e6


def test_operations_of_the_kernel_and_its_solves_are_those_that_torch_counts():
    problem = mlp([40, 30, 4], 100)
    _, dual, iterative = ri.exact.costs(problem, vectors=10, iterations=1)
    b = torch.randn(10, problem.num_parameters, dtype=torch.float64)
    with FlopCounterMode(display=False) as counted:
        curvature = ri.exact.GaussNewton(problem, method="dual")
    made = counted.get_total_flops()
    with FlopCounterMode(display=False) as counted:
        curvature.solve(b, 1e-2)
    m = 300
    told = dual.flops - m**3 / 3 - 10 * 2 * m**2  # torch counts neither factor nor its solves
    assert told / 2 <= made + counted.get_total_flops() <= 2 * told
    with FlopCounterMode(display=False) as counted:
        ri.exact.GaussNewton(problem, method="iterative").apply(b)
    assert iterative.flops / 4 <= counted.get_total_flops() <= 2 * iterative.flops


def test_memory_is_that_of_the_matrices():
    problem = mlp([40, 30, 4], 100)
    primal, dual, _ = ri.exact.costs(problem)
    assert primal.bytes == 2 * 8 * problem.num_parameters**2
    assert dual.bytes > 2 * 8 * 300**2
    assert "primal" in str(primal)
    assert "GB" in str(primal)


def test_auto_takes_what_fits_and_refuses_with_an_estimate(monkeypatch):
    problem = mlp([200, 90, 2], 6)
    assert ri.exact.GaussNewton(problem).method == "dual"
    few = mlp([6, 5, 3], 50)
    assert ri.exact.GaussNewton(few).method == "primal"
    gauss_newton = "refimpl.exact.gauss_newton.available_memory"
    many = mlp([200, 90, 2], 6000)
    primal, dual, iterative = ri.exact.costs(many)
    assert iterative.bytes < dual.bytes < primal.bytes
    for most, method in ((dual.bytes, "dual"), (iterative.bytes, "iterative")):
        with monkeypatch.context() as patch:
            patch.setattr(gauss_newton, lambda device, most=most: most)
            patch.setattr("refimpl.exact.gauss_newton._route", lambda p, *_: ri.fast.Identity(p))
            assert ri.exact.GaussNewton(many).method == method
            with pytest.raises(ValueError, match="needs more memory"):
                ri.exact.GaussNewton(many, method="primal")
    monkeypatch.setattr(gauss_newton, lambda device: 1.0)
    with pytest.raises(ValueError, match=r"0\.0 GB that are free:\nprimal"):
        ri.exact.GaussNewton(problem)
    for method in ("primal", "dual", "iterative"):
        with pytest.raises(ValueError, match="needs more memory"):
            ri.exact.GaussNewton(problem, method=method)


def test_options_of_another_method_are_refused():
    problem = mlp([6, 5, 3], 5)
    with pytest.raises(ValueError, match=r"'max_iterations'.*iterative"):
        ri.exact.GaussNewton(problem, method="dual", max_iterations=3)


def test_the_memory_that_is_free_lies_between_none_and_all():
    free = available_memory(torch.device("cpu"))
    assert 0 < free < float("inf")

"""The cost model: what it counts, what it chooses, what it refuses."""

import io
import os

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import refimpl as ri
from refimpl.exact.assembly import assemble
from refimpl.exact.estimates import available_memory


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
    assert 0 < free < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_costs_of_a_small_network_are_those_counted_by_hand():
    # [W | b] of 4 x 4 and 3 x 5: P = 31; three classes, so two directions; one position each.
    primal, dual, iterative = ri.exact.costs(mlp([3, 4, 3], 5), vectors=7, iterations=11)
    pairs = 2 * 5 * (0.25 * 16**2 + 16 * 15 + 0.25 * 15**2)
    assert primal.flops == pytest.approx(pairs + 31**3 / 3 + 4 * 31**2 * 7)
    assert primal.bytes == 2 * 8 * 31**2
    product = 2 * 5 * (4 * (4 + 2) + 3 * (5 + 2))
    rows = 5 * (4 + 2 * 4) + 5 * (5 + 2 * 3)
    solves = 7 * (2 * 10**2 + 4 * product)
    assert dual.flops == pytest.approx(10**2 * (4 + 3) + 10**3 / 3 + solves)
    assert dual.bytes == 8 * (2 * 10**2 + 2 * rows)
    assert iterative.flops == pytest.approx(7 * 11 * 8 * 5 * (16 + 15))
    assert iterative.bytes == 8 * (2**22 + 8 * 7 * 31)
    assert [c.method for c in (primal, dual, iterative)] == ["primal", "dual", "iterative"]
    assert str(primal) == f"primal     {primal.flops:9.1e} operations,     0.00 GB"


def test_costs_of_tokens_are_those_counted_by_hand():
    # 10 x 13 and 6 x 11 over two positions: four pairs, fewer than the ten directions of 2 x 5.
    primal, dual, iterative = ri.exact.costs(tokens(), vectors=1, iterations=1)
    a, b = 130, 66
    pairs = 2 * 20 * 4 * (0.5 * a**2 + a * b + 0.5 * b**2)
    assert primal.flops == pytest.approx(pairs + 196**3 / 3 + 4 * 196**2)
    m = 20 * 10
    product = 2 * 20 * 2 * (10 * (13 + 10) + 6 * (11 + 10))
    rows = 20 * 2 * (13 + 10 * 10) + 20 * 2 * (11 + 10 * 6)
    assert dual.flops == pytest.approx(m**2 * (a + b) + m**3 / 3 + 2 * m**2 + 4 * product)
    assert dual.bytes == 8 * (2 * m**2 + 2 * rows)
    assert iterative.flops == pytest.approx(8 * 20 * 2 * (a + b))


def test_a_hundred_solves_of_two_hundred_steps_are_the_default():
    problem = mlp([3, 4, 3], 5)
    assert ri.exact.costs(problem) == ri.exact.costs(problem, vectors=100, iterations=200)


def test_memory_is_what_the_system_says_is_available(monkeypatch):
    cpu = torch.device("cpu")
    told = "MemTotal: 9 kB\nMemAvailable:    2048 kB\nMemFree: 5 kB\n"
    monkeypatch.setattr("builtins.open", lambda path, **_: io.StringIO(told))
    assert available_memory(cpu) == 2048 * 1024
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr("os.sysconf", lambda name: pages[name])
    told = "MemTotal: 9 kB\n"  # an old kernel
    assert available_memory(cpu) == 4096 * 1000

    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)  # no Linux
    assert available_memory(cpu) == 4096 * 1000
    monkeypatch.delattr("os.sysconf")  # no POSIX
    assert available_memory(cpu) == float("inf")


@pytest.mark.parametrize(
    ("most", "left"), [("5000000", 5000000 - 3000000 + 400), ("max", 2048 * 1024)]
)
def test_memory_is_what_the_limit_of_a_container_leaves(monkeypatch, most, left):
    files = {
        "/proc/meminfo": "MemAvailable:    2048 kB\n",
        "/sys/fs/cgroup/memory.max": f"{most}\n",
        "/sys/fs/cgroup/memory.current": "3000000\n",
        "/sys/fs/cgroup/memory.stat": "anon 7\ninactive_file 400\n",
    }
    monkeypatch.setattr("builtins.open", lambda path, **_: io.StringIO(files[path]))
    assert available_memory(torch.device("cpu")) == left

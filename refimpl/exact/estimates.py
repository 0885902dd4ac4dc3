"""Estimates of the operations and memory of the routes to the exact Gauss-Newton Hessian."""

import os
from dataclasses import dataclass
from typing import Literal

import torch

from refimpl.exact.assembly import by_positions
from refimpl.problem import memory
from refimpl.problem.layout import Block
from refimpl.problem.problem import Problem
from refimpl.rows.verification import sizes_of

__all__ = ["Cost", "available_memory", "costs"]


@dataclass(frozen=True)
class Cost:
    """An estimate of one route.

    Args:
        method: As for `GaussNewton`.
        flops: Floating-point operations of the factorisation and the solves.
        bytes: The most memory held at once.
    """

    method: Literal["primal", "dual", "iterative"]
    flops: float
    bytes: float

    def __str__(self) -> str:
        return f"{self.method:<10} {self.flops:9.1e} operations, {self.bytes / 1e9:8.2f} GB"


def costs(problem: Problem, *, vectors: int = 100, iterations: int = 200) -> tuple[Cost, ...]:
    """Estimate the cost of solves with the damped Gauss-Newton Hessian by each route.

    A solve multiplies by the matrix once more for its certificate. Leading terms only: products of
    matrices, Cholesky's n^3 / 3, and what must be held besides the right-hand sides.

    Args:
        problem: The problem.
        vectors: Right-hand sides.
        iterations: Steps of conjugate gradients that the iterative route is taken to need.
    """
    size = sizes_of(problem)
    blocks, n, p, k = (
        problem.layout.blocks,
        problem.num_examples,
        problem.num_parameters,
        size.directions,
    )
    number = problem.parameters.element_size()

    def share(one: Block, other: Block) -> float:
        """Multiplications and additions of a pair of blocks in `assemble`."""
        r, s = size.positions[one.name], size.positions[other.name]
        inner = r * s if by_positions(r, s, k) else k
        half = (0.25 if r == 1 else 0.5) if one is other else 1.0
        return 2 * half * n * inner * one.outputs * one.inputs * other.outputs * other.inputs

    pairs = sum(share(b, c) for at, b in enumerate(blocks) for c in blocks[at:])
    primal = Cost("primal", pairs + p**3 / 3 + 4.0 * p**2 * vectors, 2.0 * number * p**2)

    m = n * k
    kernel, product, rows = 0.0, 0.0, 0.0
    for b in blocks:
        r = size.positions[b.name]
        kernel += m**2 * (b.outputs if r == 1 else b.outputs * b.inputs)
        product += 2 * n * r * b.outputs * (b.inputs + k)
        rows += n * r * (b.inputs + k * b.outputs)
    dual = Cost(
        "dual",
        kernel + m**3 / 3 + vectors * (2 * m**2 + 4 * product),
        number * (2 * m**2 + 2 * rows),
    )
    # A forward and a backward derivative: twice and twice the products of one pass.
    step = sum(8 * n * size.positions[b.name] * b.outputs * b.inputs for b in blocks)
    entries = memory.PRODUCTS + 8 * vectors * p
    iterative = Cost("iterative", float(vectors * iterations * step), float(number * entries))
    return primal, dual, iterative


def available_memory(device: torch.device) -> float:
    """Bytes that can be had without swapping; infinite where the system does not tell."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return min(_of_machine(), _of_container())


def _of_container() -> float:
    """Bytes that the limit of a control group leaves (cgroup v2); infinite without one."""
    group: dict[str, str] = {}
    try:
        for name in ("max", "current", "stat"):
            with open(f"/sys/fs/cgroup/memory.{name}", encoding="ascii") as file:
                group[name] = file.read()
        statistics = dict(line.split() for line in group["stat"].splitlines())
        # What is cached of files is counted as used, and given back.
        return float(group["max"]) - float(group["current"]) + float(statistics["inactive_file"])
    except (OSError, ValueError, KeyError):  # "max" says that there is no limit
        return float("inf")


def _of_machine() -> float:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:  # what is free, and what the kernel would give back
                if line.startswith("MemAvailable:"):
                    return float(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")

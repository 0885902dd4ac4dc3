"""Comparisons: errors, agreements and steps against their definitions."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import refimpl as ri
from refimpl.rungs.comparisons import compare_rungs
from refimpl.rungs.curvatures import BLOCKS, TOP, TRUTH, WIDER
from refimpl.rungs.fits import FITS, Fit, Precomputed
from refimpl.rungs.operators import operator
from refimpl.rungs.setting import Setting
from refimpl.rungs.solving import Answers

DAMPINGS = [1.0, 0.1]


def noise(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def made(layers: list[str] | None) -> Setting:
    generator = torch.Generator().manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3)
    ).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(noise(generator, *p.shape))
    x, y = noise(generator, 25, 4), torch.arange(25) % 3
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x[:20], y[:20], layers=layers)
    return Setting(problem, x[20:], y[20:])


@pytest.fixture(scope="module")
def at() -> Setting:
    return made(None)


Climbed = tuple[dict[str, Answers], dict[str, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def climbed(at: Setting) -> Climbed:
    """Every rung but those of other layers, in one climb."""
    problem = at.problem
    fits = [
        Fit(TRUTH, ri.exact.GaussNewton(problem), problem),
        Fit(TOP, ri.Dense(problem, [ri.exact.hessian(problem)], positive=False), problem),
        *(fit for group in FITS for fit in FITS[group](problem, Precomputed())),
    ]
    return compare_rungs(fits, at, DAMPINGS, known={}, top_k=3, operators=True)


def one(records: list[dict[str, Any]], **where: Any) -> dict[str, Any]:
    (found,) = (r for r in records if where.items() <= r.items())
    return found


def matrix(at: Setting, name: str, damping: float) -> np.ndarray:
    problem = at.problem
    kfac = ri.fast.KFAC(problem)
    dense = {
        TOP: lambda: ri.exact.hessian(problem),
        TRUTH: lambda: ri.exact.gauss_newton_matrix(problem),
        BLOCKS: lambda: ri.fast.BlockDiagonal(problem).dense(),
        "EK-FAC": lambda: ri.fast.EKFAC(problem).dense(),
        "K-FAC": lambda: kfac.dense(),
    }
    if name in dense:
        return dense[name]().numpy() + damping * np.eye(problem.num_parameters)
    # the damped factors, written out (Martens & Grosse 2015, section 6.3)
    blocks = []
    for A, S in kfac.factors.values():
        ratio = (A.trace() / len(A)) / (S.trace() / len(S))
        left = A + (damping * ratio).sqrt() * torch.eye(len(A), dtype=A.dtype)
        right = S + (damping / ratio).sqrt() * torch.eye(len(S), dtype=S.dtype)
        blocks.append(torch.kron(right, left))
    return torch.block_diag(*blocks).numpy()


@pytest.mark.parametrize("damping", DAMPINGS)
@pytest.mark.parametrize(
    ("upper", "lower"),
    [
        (TOP, TRUTH),
        (TRUTH, BLOCKS),
        (BLOCKS, "EK-FAC"),
        ("EK-FAC", "K-FAC"),
        ("K-FAC", "K-FAC, factored damping"),
    ],
)
def test_errors_of_a_step_are_those_of_the_matrices(
    at: Setting, climbed: Climbed, upper: str, lower: str, damping: float
) -> None:
    H, approximation = matrix(at, upper, damping), matrix(at, lower, damping)
    bare = H - damping * np.eye(len(H))
    here = {"upper": upper, "lower": lower, "damping": damping}
    found = {r["statistic"]: r["value"] for r in climbed[1]["steps"] if here.items() <= r.items()}
    # Rounding of matrices of norm ~ 1 in 1e-16, amplified by at most ||H^-1|| <= 1 / damping.
    frobenius = np.linalg.norm(approximation - H) / np.linalg.norm(bare)
    assert found["operator_frobenius"] == pytest.approx(frobenius, rel=1e-10, abs=1e-13)
    spectral = np.linalg.norm(approximation - H, 2) / np.linalg.norm(bare, 2)
    assert found["operator_spectral"] == pytest.approx(spectral, rel=1e-10, abs=1e-13)
    v = at.gradients().numpy().T
    x, y = np.linalg.solve(approximation, v), np.linalg.solve(H, v)
    error = np.mean(np.linalg.norm(x - y, axis=0) / np.linalg.norm(y, axis=0))
    assert found["ihvp_error"] == pytest.approx(error, rel=1e-8)
    gradients = at.problem.gradients().numpy()
    ours, theirs = -(gradients @ x).T, -(gradients @ y).T
    pearson = [stats.pearsonr(a, b).statistic for a, b in zip(ours, theirs, strict=True)]
    assert found["pearson"] == pytest.approx(np.mean(pearson), abs=1e-8)


def test_the_spectral_norm_of_a_larger_matrix_is_its_largest_absolute_eigenvalue() -> None:
    from refimpl.curvature.spectra import largest_absolute_eigenvalue

    generator = torch.Generator().manual_seed(0)
    noisy = noise(generator, 90, 90)
    symmetric = noisy + noisy.T - 5 * torch.eye(90)  # the largest in absolute value is negative
    expected = float(torch.linalg.eigvalsh(symmetric).abs().max())
    assert largest_absolute_eigenvalue(symmetric) == pytest.approx(
        expected, rel=1e-3
    )  # what Lanczos is asked for
    assert largest_absolute_eigenvalue(torch.zeros(300, 300)) == 0.0


def test_errors_against_the_truth_and_against_the_top_are_both_told(
    at: Setting, climbed: Climbed
) -> None:
    figures = climbed[1]["figures"]
    for reference, other in ((TRUTH, TOP), (TOP, TRUTH)):
        names = {f["curvature"] for f in figures if f["reference"] == reference}
        assert other in names
        assert reference not in names
        assert {BLOCKS, "EK-FAC", "identity"} <= names
    H, G = (matrix(at, name, 0.0) for name in (TOP, TRUTH))
    here = {"curvature": TRUTH, "reference": TOP, "damping": 1.0, "statistic": "operator_frobenius"}
    assert one(figures, **here)["value"] == pytest.approx(np.linalg.norm(G - H) / np.linalg.norm(H))
    names = ("curvature", "reference", "damping", "statistic")
    assert len({tuple(f[name] for name in names) for f in figures}) == len(figures)


def test_other_layers_count_in_the_scores_and_products_keep_the_tracked_coordinates() -> None:
    at, whole = made(["2"]), made(None)
    fits = [Fit(TRUTH, ri.exact.GaussNewton(at.problem), at.problem)]
    fits += FITS["wider"](at.problem, Precomputed())
    found, records = compare_rungs(fits, at, DAMPINGS, known={}, top_k=3, operators=True)
    G = (
        ri.exact.gauss_newton_matrix(whole.problem)
        + torch.eye(whole.problem.num_parameters, dtype=torch.float64) / 10
    )
    x = torch.linalg.solve(G, whole.gradients().T)
    place = {block.name: block.slice for block in whole.problem.layout.blocks}["2"]
    torch.testing.assert_close(found[WIDER].products[1], x[place].T, rtol=1e-9, atol=1e-12)
    scores = -(whole.problem.gradients() @ x).T
    torch.testing.assert_close(found[WIDER].scores[1], scores, rtol=1e-9, atol=1e-12)
    step = [r for r in records["steps"] if (r["upper"], r["lower"]) == (WIDER, TRUTH)]
    # The matrices have different sizes: nothing is said of their difference.
    assert {r["statistic"] for r in step} == {
        "ihvp_error",
        "pearson",
        "spearman",
        "kendall",
        "top_k",
    }


def test_no_matrix_is_formed_where_none_may_be(at: Setting) -> None:
    fits = [Fit(TRUTH, ri.exact.GaussNewton(at.problem), at.problem)]
    fits += FITS["Kronecker"](at.problem, Precomputed())
    found, records = compare_rungs(fits, at, DAMPINGS, known={}, top_k=3, operators=False)
    assert all(solved.operator is None for solved in found.values())
    told = {r["statistic"] for kind in ("figures", "steps") for r in records[kind]}
    assert told == {"ihvp_error", "pearson", "spearman", "kendall", "top_k"}


def test_the_operator_of_factored_damping_depends_on_it(at: Setting) -> None:
    kfac = ri.fast.KFAC(at.problem, factored_damping=True)
    damped = operator(kfac).damped
    assert operator(kfac).matrix is None
    assert operator(ri.fast.KFAC(at.problem)).matrix is not None  # its damping is lambda I
    for damping in DAMPINGS:
        expected = matrix(at, "K-FAC, factored damping", damping)
        np.testing.assert_allclose(damped(damping).numpy(), expected, rtol=1e-10, atol=1e-13)


def test_lissa_tells_how_it_converged_and_has_no_matrix_of_its_own(climbed: Climbed) -> None:
    found, records = climbed
    assert found["LiSSA"].operator is None
    assert [(t["curvature"], t["damping"]) for t in records["traces"]] == [
        ("LiSSA", damping) for damping in DAMPINGS
    ]
    for trace in records["traces"]:
        assert trace["steps"][-1] == 500
        assert trace["residuals"][-1] < trace["residuals"][0]
    told = {f["statistic"] for f in records["figures"] if f["curvature"] == "LiSSA"}
    assert told == {"ihvp_error"}

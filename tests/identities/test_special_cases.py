"""Cases with a closed form elsewhere: ordinary least squares and logistic regression of statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from evidence import within
from sklearn.datasets import load_breast_cancer, load_diabetes
from statsmodels.stats.outliers_influence import OLSInfluence
from torch import nn

import refimpl as ri

U = np.finfo(np.float64).eps / 2


@pytest.fixture(scope="module")
def regression():
    """Least squares on the diabetes data: statsmodels' fit, and the same fit as a Problem."""
    x, y = load_diabetes(return_X_y=True)
    x, y = x[:80] * 10, (y[:80] - y[:80].mean()) / y[:80].std()
    fit = sm.OLS(y, sm.add_constant(x)).fit()
    model = nn.Linear(x.shape[1], 1).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor(fit.params[1:])[None])
        model.bias.copy_(torch.tensor(fit.params[:1]))
    inputs, targets = torch.tensor(x), torch.tensor(y)[:, None]
    return fit, ri.Problem(model, ri.losses.SquaredError(), inputs, targets)


def _bound(problem: ri.Problem) -> float:
    """Relative error of two backward-stable solutions of the normal equations: c u cond(X^T X)."""
    return 100 * U * float(torch.linalg.cond(ri.exact.gauss_newton_matrix(problem)))


def test_influence_gives_statsmodels_dfbeta_through_the_leave_one_out_identity(regression):
    fit, problem = regression
    dfbeta = OLSInfluence(fit).dfbeta  # theta - theta without example i, the constant first
    solved = ri.exact.GaussNewton(problem).solve(problem.gradients(), 0.0).value
    leverage = torch.tensor(OLSInfluence(fit).hat_matrix_diag)
    # Removing i moves theta by (1/N) G^-1 grad l_i / (1 - h_i) exactly (Sherman-Morrison).
    moved = -solved / problem.num_examples / (1 - leverage)[:, None]
    ours = np.concatenate([moved[:, -1:], moved[:, :-1]], axis=1)
    within(np.linalg.norm(ours - dfbeta), _bound(problem) * np.linalg.norm(dfbeta))


def test_cooks_distance_is_the_self_influence_weighed_by_the_leverage(regression):
    fit, problem = regression
    influence = OLSInfluence(fit)
    own = ri.self_influence(problem, curvature=ri.exact.GaussNewton(problem), damping=0.0)
    p, h = problem.num_parameters, influence.hat_matrix_diag
    # D_i = e_i^2 h_i / (p s^2 (1 - h_i)^2), and -own_i = N e_i^2 h_i.
    cooks = -own.numpy() / problem.num_examples / (p * fit.mse_resid * (1 - h) ** 2)
    within(np.abs(cooks - influence.cooks_distance[0]).max(), _bound(problem) * cooks.max())


def test_the_response_to_removal_is_the_fit_without_the_example(regression):
    fit, problem = regression
    n, damping = problem.num_examples, 1e-9
    found = ri.exact.bregman_response(
        problem, [0, 7, 33], epsilon=-1 / n, damping=damping, tolerance=1e-11
    )
    assert bool(found.certificate.converged.all())
    x, y = fit.model.exog, fit.model.endog
    smallest = float(torch.linalg.eigvalsh(ri.exact.gauss_newton_matrix(problem))[0])
    for row, m in zip(found.parameters.numpy(), (0, 7, 33), strict=True):
        keep = np.arange(n) != m
        again = sm.OLS(y[keep], x[keep]).fit().params
        ours = np.concatenate([row[-1:], row[:-1]])
        change = np.linalg.norm(again - fit.params)
        # Damping pulls the change back by at most its share of the smallest eigenvalue of what is
        # left of G, here at least half the whole one's; the gradient left over adds as much.
        slack = 4 * (damping / smallest + 1e-11 * _bound(problem) / U) * change
        within(np.linalg.norm(ours - again), slack + _bound(problem) * np.linalg.norm(again))


def test_logistic_regression_has_statsmodels_hessian_and_it_is_the_gnh():
    x, y = load_breast_cancer(return_X_y=True)
    x = (x[:120, :5] - x[:120, :5].mean(axis=0)) / x[:120, :5].std(axis=0)
    y = y[:120].astype(np.float64)
    generator = torch.Generator().manual_seed(0)
    theta = 0.3 * torch.randn(6, generator=generator, dtype=torch.float64)
    model = nn.Linear(5, 1).double()
    with torch.no_grad():
        model.weight.copy_(theta[None, :5])
        model.bias.copy_(theta[5:])
    problem = ri.Problem(
        model, ri.losses.BinaryCrossEntropy(), torch.tensor(x), torch.tensor(y)[:, None]
    )
    design = np.concatenate([x, np.ones((120, 1))], axis=1)
    truth = torch.tensor(-sm.Logit(y, design).hessian(theta.numpy()) / 120)
    for route in (ri.exact.hessian, ri.exact.gauss_newton_matrix, _assembled):
        within((route(problem) - truth).norm(), 200 * U * 120**0.5 * truth.norm())


def _assembled(problem: ri.Problem) -> torch.Tensor:
    return ri.exact.GaussNewton(problem).dense()

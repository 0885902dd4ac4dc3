"""The dense matrix, assembled from layers' inputs and gradients, against its definition."""

import models
import pytest
import torch
from evidence import within
from hypothesis import given, strategies as st
from strategies import ROUNDOFF as U, loss_for, problems, scale_of, targets_for

import refimpl as ri
from refimpl.exact import assembly
from refimpl.problem import memory


def assembled(problem: ri.Problem) -> torch.Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "TILE", 8)  # so that small problems have several tiles and panels
        return assembly.assemble(problem)


def slack(problem: ri.Problem) -> float:
    # Entries are sums of at most N (T C)^2 products; each sum's roundings are below sqrt(count) u
    # times omega ||J||^2 / N (Higham & Mary 2019), which is larger than ||G|| where H_n cancels.
    return 30 * U * problem.outputs().numel() * scale_of(problem)


@given(problems())
def test_every_entry_is_that_of_the_definition(problem):
    G, ours = ri.exact.gauss_newton_matrix(problem), assembled(problem)
    within((ours - G).norm(), slack(problem))
    within((assembly.assemble(problem) - G).norm(), slack(problem), "one tile")
    assert torch.equal(ours, ours.T)


@given(problems(losses=("squared_error",)))
def test_the_relative_error_is_below_the_issues_bound(problem):
    G = ri.exact.gauss_newton_matrix(problem)  # H_n = I: nothing cancels
    within((assembled(problem) - G).norm(), 1e-12 * G.norm())


@given(problems(tokens=(1, 4), examples=(1, 5), width=(1, 5)), st.booleans())
def test_positions_and_directions_give_the_same_matrix(problem, positions):
    G = ri.exact.gauss_newton_matrix(problem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "by_positions", lambda *_: positions)
        within((assembled(problem) - G).norm(), slack(problem))


@given(models.stacks(), st.booleans())
def test_shared_weights_and_convolutions_give_the_matrix_of_the_definition(problem, positions):
    G = ri.exact.gauss_newton_matrix(problem)
    within((assembled(problem) - G).norm(), slack(problem))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "by_positions", lambda *_: positions)
        within((assembled(problem) - G).norm(), slack(problem))


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error", "binary"])
@pytest.mark.parametrize("name", models.CASES)
def test_hostile_models_give_the_matrix_of_the_definition(name, loss):
    model, shape = models.CASES[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, *shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        outputs = model.double()(x).shape
    y = targets_for(loss, tuple(outputs), generator, ignored=0.3)
    options = loss_for(loss, outputs[-1], generator, options=True)
    problem = ri.Problem(model, options, x, y)
    G = ri.exact.gauss_newton_matrix(problem)
    within((assembled(problem) - G).norm(), slack(problem))


@given(problems(examples=(3, 5)), st.sampled_from([1, 2]))
def test_passes_over_few_examples_add_up(problem, inner):
    whole = assembly.assemble(problem)
    for module, name in ((assembly, "INNER"), (memory, "ASSEMBLY")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, inner)
            within((assembly.assemble(problem) - whole).norm(), slack(problem), name)


def test_a_layer_of_one_position_costs_one_product_of_its_pairs(monkeypatch):
    # Which route a pair takes, and the inner dimension: examples, whatever the number of classes.
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 5))
    x = torch.randn(6, 4, generator=generator)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, torch.arange(6) % 5)
    seen = []
    honest = assembly._upper
    monkeypatch.setattr(
        assembly, "_upper", lambda *args: seen.append(honest(*args).shape) or honest(*args)
    )
    assembly.assemble(problem)
    assert seen == [(15, 6, 1, 1), (10, 6, 1, 1)]  # pairs i <= i' of 5 and of 4 inputs, 6 examples


@pytest.mark.parametrize(
    ("length", "size"), [(65, 62), (64, 64), (1, 5), (7, 1), (10, 0), (100, 33)]
)
def test_tiles_cover_all_in_order_and_none_is_a_leftover(length, size):
    found = assembly.tiles(length, size)
    assert [i for tile in found for i in range(length)[tile]] == list(range(length))
    lengths = [tile.stop - tile.start for tile in found]
    assert max(lengths) <= max(1, size)
    assert len(found) == -(-length // max(1, size))
    assert max(lengths) - min(lengths) < len(found)  # 65 in two is 33 + 32, never 62 + 3

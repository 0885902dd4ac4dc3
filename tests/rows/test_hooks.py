"""Captured inputs and gradients make the gradients that autograd gives, on hostile models."""

import pytest
import torch
from hypothesis import given, strategies as st
from models import CASES, Functional, Swapped, stacks
from strategies import problems, rounding_of
from torch import Tensor, nn

import refimpl as ri
from refimpl.problem import memory
from refimpl.rows.draws import label_draws
from refimpl.rows.hooks import forward_pass
from refimpl.rows.matrices import gradient_matrices, gradient_matrices_in_pieces
from refimpl.rows.sweeps import repeatable_sweeps, sweeps_over

U = torch.finfo(torch.float64).eps / 2


def problem_of(name: str, n: int = 5) -> ri.Problem:
    model, shape = CASES[name]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    outputs = model.double()(x)
    y = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    return ri.Problem(model, ri.losses.SquaredError(), x, y)


@pytest.mark.parametrize("name", CASES)
def test_rows_make_the_per_example_gradients(name):
    problem = problem_of(name)
    run = forward_pass(problem, problem.inputs, problem.targets)
    cotangent = run.outputs - problem.targets  # the gradient of half the squared error
    rows = run.backward(cotangent[None])
    ours = problem.layout.flatten(
        {k: gradient_matrices(g[0], run.inputs[k]) for k, g in rows.items()}
    )
    truth = problem.gradients()
    # Sums over at most some hundred rows of products of a few factors
    assert (ours - truth).norm() <= 1e3 * U * truth.norm()


@given(stacks(), st.integers(1, 3))
def test_rows_make_the_gradients_of_any_combination_of_outputs_on_random_models(
    problem, directions
):
    run = forward_pass(problem, problem.inputs, problem.targets)
    v = torch.randn(directions, *run.outputs.shape, dtype=torch.float64)
    rows = run.backward(v)
    ours = problem.layout.flatten({k: gradient_matrices(g, run.inputs[k]) for k, g in rows.items()})
    for k in range(directions):
        # the loss's gradient in the outputs is f - y, here v
        shifted = ri.Problem(
            problem.model,
            problem.loss,
            problem.inputs,
            run.outputs - v[k],
            layers=[layer.name for layer in problem.layout.layers],
        )
        truth = shifted.gradients()
        assert (ours[k] - truth).norm() <= 1e3 * U * truth.norm()


def second_moment(problem: ri.Problem, places: list[slice], **options) -> Tensor:
    """sum_n E[u_n u_n^T] over all directions; `places` gets the pieces that are called first."""
    total = torch.zeros(problem.num_parameters, problem.num_parameters).double()
    for sweep in sweeps_over(problem, **options):
        rows = {k: gradient_matrices(g, sweep.inputs[k]) for k, g in sweep.gradients.items()}
        u = problem.layout.flatten(rows).flatten(0, 1)
        total += u.T @ u
        places += [sweep.place] if sweep.first else []
    return total


@given(stacks(), st.integers(1, 3), st.sampled_from(["exact", "sampled", "empirical"]))
def test_batches_and_pieces_are_only_a_split_on_random_models(problem, batch_size, fisher):
    draws = label_draws(problem, 2, None) if fisher == "sampled" else None
    options = {"fisher": fisher, "samples": 2, "draws": draws}
    whole, split, pieces = [], [], []
    truth = second_moment(problem, whole, **options)
    by_batch = second_moment(problem, split, batch_size=batch_size, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "refimpl.problem.memory.LAYER_ROWS", 1
        )  # one example and one direction at a time
        by_direction = second_moment(problem, pieces, **options)
    for other in (by_batch, by_direction):
        assert (other - truth).norm() <= 1e3 * U * truth.norm()
    assert whole == [slice(0, problem.num_examples)]
    assert split == [place for place, _, _ in problem.batches(batch_size)]
    assert pieces == [place for place, _, _ in problem.batches(1)]


def test_several_samples_are_the_mean_over_them():
    problem = problem_of("module called twice on tokens")
    draws = label_draws(problem, 3, None)
    together = second_moment(problem, [], fisher="sampled", samples=3, draws=draws)
    alone = [
        second_moment(problem, [], fisher="sampled", samples=1, draws=draws[:, k : k + 1])
        for k in range(3)
    ]
    assert (together - sum(alone) / 3).norm() <= 1e3 * U * together.norm()


@pytest.mark.parametrize("name", CASES)
def test_the_structured_route_and_the_fast_factors_hold_on_hostile_models(name):
    problem = problem_of(name)
    before = {k: v.clone() for k, v in problem.model.state_dict().items()}
    G = ri.exact.gauss_newton_matrix(problem)
    assert (ri.exact.GaussNewton(problem).dense() - G).norm() <= 1e3 * U * G.norm()
    J = ri.exact.jacobian(problem)
    assert torch.allclose(
        G, torch.einsum("ndp,ndq->pq", J, J) / 5, rtol=0, atol=rounding_of(problem)
    )
    for sharing in ("expand", "reduce"):
        ekfac = ri.fast.EKFAC(problem, weight_sharing=sharing)
        for block in problem.layout.blocks:
            trace = G[block.slice, block.slice].trace()
            assert abs(ekfac.eigen[block.name][2].sum() - trace) <= rounding_of(problem)
    H = ri.exact.hessian(problem)
    assert (H - H.T).norm() <= 1e3 * U * H.norm()
    # pytorch#164759: functional_call on a module held twice must leave the parameters as they were
    for key, value in problem.model.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("name", ["module called twice on tokens", "convolution, zeros"])
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_batches_are_only_a_split(name, batch_size):
    problem = problem_of(name)
    whole = list(sweeps_over(problem))
    split = list(sweeps_over(problem, batch_size=batch_size))
    for block in problem.layout.blocks:
        a = torch.cat([s.inputs[block.name] for s in whole if s.first])
        b = torch.cat([s.inputs[block.name] for s in split if s.first])
        # What a layer sees of an example passes a few others, in a batch of another size.
        assert (a - b).norm() <= 30 * U * problem.num_parameters**0.5 * a.norm()


def test_draws_come_from_the_generator_and_do_not_depend_on_batches():
    problem = problem_of("a Linear alone")
    first = label_draws(problem, 3, torch.Generator().manual_seed(4))
    again = label_draws(problem, 3, torch.Generator().manual_seed(4))
    other = label_draws(problem, 3, torch.Generator().manual_seed(5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape[:2] == (5, 3)


def test_ignored_tokens_are_left_out_of_the_input_covariance_and_their_content_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 2, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (4, 3), generator=generator)
    y[0, 1:] = -100
    y[3, 2] = -100
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    hostile = x.clone()
    hostile[y == -100] = 1e6
    clean, spoiled = (ri.Problem(model, ri.losses.CrossEntropy(), v, y) for v in (x, hostile))
    for kind in (ri.fast.KFAC, ri.fast.EKFAC):
        assert torch.equal(kind(clean).dense(), kind(spoiled).dense())
    kept = torch.cat([x[y != -100], torch.ones(9, 1)], dim=1)
    A, _ = ri.fast.KFAC(clean).factors["0"]
    assert torch.allclose(A, kept.T @ kept / 9, rtol=1e-14, atol=0)
    assert torch.equal(clean.gradients(), spoiled.gradients())


def test_sequences_of_other_lengths_padded_give_what_they_give_one_by_one():
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    lengths = (4, 1, 3)
    x = torch.zeros(3, 4, 2, dtype=torch.float64)
    y = torch.full((3, 4), -100)
    alone = []
    for n, length in enumerate(lengths):
        x[n, :length] = torch.randn(length, 2, generator=generator, dtype=torch.float64)
        y[n, :length] = torch.randint(2, (length,), generator=generator)
        one = ri.Problem(
            model, ri.losses.CrossEntropy(), x[n : n + 1, :length], y[n : n + 1, :length]
        )
        alone.append(one)
    together = ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    G = sum(ri.exact.gauss_newton_matrix(one) for one in alone) / 3
    assert (ri.exact.GaussNewton(together).dense() - G).norm() <= 100 * U * G.norm()
    gradients = torch.cat([one.gradients() for one in alone])
    assert (together.gradients() - gradients).norm() <= 100 * U * gradients.norm()
    S = sum(ri.fast.KFAC(one).factors["2"][1] for one in alone) / 3
    assert (ri.fast.KFAC(together).factors["2"][1] - S).norm() <= 100 * U * S.norm()


class Pooled(nn.Module):
    """A layer on tokens, called twice; one on images; one on what is left of an example."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.image, self.whole = (
            nn.Linear(2, 2),
            nn.Conv2d(1, 2, (1, 2)),
            nn.Linear(2, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.token(torch.tanh(self.token(x)))
        image = self.image(x[:, None]).mean(dim=(2, 3))
        return h + self.whole(image)[:, None]


def test_rows_count_where_a_linear_acts_on_a_token_whose_label_counts():
    y = torch.tensor([[0, -100, 1], [-100, -100, 0]])
    problem = ri.Problem(Pooled(), ri.losses.CrossEntropy(), torch.randn(2, 3, 2), y)
    run = forward_pass(problem, problem.inputs, problem.targets)
    mask = y != -100
    assert run.counted["token"].tolist() == torch.cat([mask, mask], dim=1).tolist()
    assert run.counted["image"].shape == (2, 3)  # as many places as tokens, and yet not tokens
    assert bool(run.counted["image"].all())
    assert bool(run.counted["whole"].all())
    everything = forward_pass(problem, problem.inputs)
    assert all(bool(rows.all()) for rows in everything.counted.values())


@pytest.mark.parametrize(("n", "t"), [(2, 2), (3, 3), (5, 5), (2, 4), (6, 3), (4, 9), (3, 1)])
def test_a_batch_on_another_axis_is_refused_whatever_the_lengths(n, t):
    x = torch.randn(n, t, 3)
    problem = ri.Problem(Swapped(), ri.losses.SquaredError(), x, torch.zeros(n, t, 2))
    refusal = r"gradient of layer 'a' is not sum_r|first axis is not the \d examples"
    with pytest.raises(ValueError, match=refusal):
        ri.fast.KFAC(problem)


def test_a_single_example_has_no_other_axis_to_mistake():
    x, y = torch.randn(1, 4, 3), torch.zeros(1, 4, 2)
    problem = ri.Problem(Swapped(), ri.losses.SquaredError(), x, y)
    G = ri.exact.gauss_newton_matrix(problem)
    assert (ri.exact.GaussNewton(problem).dense() - G).norm() <= 1e3 * U * G.norm()


@pytest.mark.parametrize("model", [Functional(), Swapped()])
def test_parameters_that_act_otherwise_are_refused(model):
    x = torch.randn(3, 3, 3) if isinstance(model, Swapped) else torch.randn(3, 3)
    y = torch.zeros(model(x).shape)
    problem = ri.Problem(model, ri.losses.SquaredError(), x, y)
    ri.exact.gauss_newton_matrix(problem)  # the definition needs no layers
    for route in (ri.exact.GaussNewton, ri.fast.KFAC, ri.fast.Diagonal):
        with pytest.raises(ValueError, match=r"gradient of layer 'a' is not sum_r g_r a_r\^T"):
            route(problem)


def test_a_layer_called_without_the_examples_is_refused():
    class Positional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.position = torch.nn.Linear(3, 3), torch.nn.Linear(1, 3)

        def forward(self, x):
            return self.a(x) + self.position(torch.ones(1, 1, dtype=x.dtype))

    problem = ri.Problem(
        Positional(), ri.losses.SquaredError(), torch.ones(3, 3), torch.zeros(3, 3)
    )
    with pytest.raises(ValueError, match="first axis is not the 3 examples"):
        ri.fast.KFAC(problem)


@given(problems(examples=(2, 8), tokens=(0, 3)), st.booleans())
def test_sweeps_that_are_kept_and_sweeps_made_anew_are_the_same(problem, kept):
    with pytest.MonkeyPatch.context() as patch:
        if not kept:
            patch.setattr(memory, "LAYER_ROWS", 1)
        passes = repeatable_sweeps(problem, batch_size=2)
        first, second = list(passes()), list(passes())
    assert all((one is two) == kept for one, two in zip(first, second, strict=True))
    for one, two in zip(first, second, strict=True):
        assert (one.place, one.first) == (two.place, two.first)
        for name, g in one.gradients.items():
            assert torch.equal(g, two.gradients[name])
            assert torch.equal(one.inputs[name], two.inputs[name])


@given(problems(tokens=(0, 3)), st.sampled_from([1, 50]))
def test_pieces_of_matrices_are_all_of_them(problem, budget):
    sweep = next(sweeps_over(problem))
    for name, g in sweep.gradients.items():
        whole = gradient_matrices(g, sweep.inputs[name])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory, "LAYER_ROWS", budget)
            parts = torch.cat(list(gradient_matrices_in_pieces(g, sweep.inputs[name])), dim=1)
        assert torch.allclose(parts, whole, rtol=0, atol=float(100 * U * whole.abs().max()))


def test_a_pass_counts_the_root_of_the_output_hessian(monkeypatch):
    x = torch.zeros(9, 3, dtype=torch.float64)
    model = torch.nn.Linear(3, 40, dtype=torch.float64)
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, torch.zeros(9, dtype=torch.long))
    each = 4 * (problem.activations + 40 + 4) + 40 * 39  # activations, rows g and a; the root
    monkeypatch.setattr(memory, "LAYER_ROWS", 2 * each)
    first = next(iter(sweeps_over(problem)))
    assert first.place == slice(0, 2)

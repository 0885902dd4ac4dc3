"""Sums over tokens, masks and prompts in Transformers whose MLP layers alone are tracked."""

import torch
from evidence import within
from hypothesis import given, strategies as st
from sequences import sequences
from strategies import problems, relative_rounding, rounding_of, scale_of
from torch import Tensor

import refimpl as ri
from refimpl.fast.ekfac import corrected_eigenvalues
from refimpl.rows import hooks
from refimpl.rows.sweeps import sweeps_over
from validation.models.networks import transformer

U = torch.finfo(torch.float64).eps / 2


@given(sequences())
def test_the_structured_gnh_is_that_of_the_definition(problem):
    error = (ri.exact.GaussNewton(problem).dense() - ri.exact.gauss_newton_matrix(problem)).norm()
    within(error, rounding_of(problem))


@given(sequences())
def test_eigenvalues_are_those_of_a_loop_over_examples_and_labels(problem):
    J, H = ri.exact.jacobian(problem), ri.exact.output_hessian(problem)
    for block in problem.layout.blocks:
        Q_A, Q_S, eigenvalues = ri.fast.EKFAC(problem).eigen[block.name]
        looped = torch.zeros_like(eigenvalues)
        for jacobian, hessian in zip(J, H, strict=True):
            values, vectors = torch.linalg.eigh(hessian)
            # directions of the labels' distribution, each sent back through the whole sequence
            for value, vector in zip(values.clamp(min=0), vectors.T, strict=True):
                gradient = (vector @ jacobian)[block.slice].reshape(block.outputs, block.inputs)
                looped += value * (Q_S.T @ gradient @ Q_A) ** 2 / problem.num_examples
        within((looped - eigenvalues).norm(), rounding_of(problem), block.name)


@given(sequences(examples=(2, 4)), st.integers(1, 3))
def test_batches_are_only_a_split(problem, batch_size):
    whole = ri.fast.EKFAC(problem)
    split = ri.fast.EKFAC(problem, batch_size=batch_size)
    # Sums of as many squares in another order, each of turned gradients off by u times its norm.
    rounding = relative_rounding(problem)
    for name, pair in whole.factors.items():
        for a, b in zip(pair, split.factors[name], strict=True):
            within((a - b).norm(), rounding * a.norm())
    basis = {name: (Q_A, Q_S) for name, (Q_A, Q_S, _) in whole.eigen.items()}
    # In one basis: that of the split factors may differ where eigenvalues repeat.
    other = corrected_eigenvalues(problem, basis, batch_size=batch_size)
    for name, (_, _, eigenvalues) in whole.eigen.items():
        within((eigenvalues - other[name]).norm(), rounding * eigenvalues.sum())


@given(sequences(), st.integers(0, 100))
def test_21_what_stands_in_the_padding_changes_nothing(problem, seed):
    ids, mask = problem.inputs
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(int(ids.max()) + 1, ids.shape, generator=generator)
    inputs = (torch.where(mask, ids, noise), mask)
    other = ri.Problem(
        problem.model, problem.loss, inputs, problem.targets, problem_layers(problem)
    )
    assert torch.equal(problem.gradients(), other.gradients())
    for kind in (ri.exact.GaussNewton, ri.fast.KFAC, ri.fast.EKFAC):
        assert torch.equal(kind(problem).dense(), kind(other).dense())


def problem_layers(problem: ri.Problem) -> list[str]:
    return [layer.name for layer in problem.layout.layers]


@given(sequences())
def test_sequences_of_different_lengths_give_together_what_they_give_one_by_one(problem):
    ids, mask = problem.inputs
    alone = []
    for n in range(problem.num_examples):
        length = int(mask[n].sum())
        inputs = (ids[n : n + 1, :length], mask[n : n + 1, :length])
        labels = problem.targets[n : n + 1, :length]
        layers = problem_layers(problem)
        alone.append(ri.Problem(problem.model, problem.loss, inputs, labels, layers))
    rounding, N = rounding_of(problem), problem.num_examples
    G = sum(ri.exact.gauss_newton_matrix(one) for one in alone) / N
    within((ri.exact.GaussNewton(problem).dense() - G).norm(), rounding, "GNH")
    # Sums in another order, of rows that went through another number of padded tokens; a gradient is
    # J^T (p - y), in which p and y may cancel.
    relative = relative_rounding(problem)
    gradients = torch.cat([one.gradients() for one in alone])
    size = gradients.norm() + (scale_of(problem) * N) ** 0.5
    within((problem.gradients() - gradients).norm(), relative * size, "gradients")
    counts = torch.tensor([float((one.targets != -100).sum()) for one in alone])
    ekfac, single = ri.fast.EKFAC(problem), [ri.fast.KFAC(one) for one in alone]
    basis = {name: (Q_A, Q_S) for name, (Q_A, Q_S, _) in ekfac.eigen.items()}
    apart = [corrected_eigenvalues(one, basis) for one in alone]
    for name, (A, S) in ekfac.factors.items():
        # A is a mean over all tokens that count, S and Λ are means over sequences of their sums
        mean = sum(c * one.factors[name][0] for c, one in zip(counts, single, strict=True))
        mean = mean / counts.sum().clamp(min=1)
        within((A - mean).norm(), relative * (A.norm() + U), "A")
        total = sum(one.factors[name][1] for one in single) / N
        # A logit f is off by u |f|, and by as much relatively is what a softmax makes of it.
        saturated = 1 + problem.outputs().abs().max()
        within((S - total).norm(), relative * saturated * S.norm(), "S")
        within((ekfac.eigen[name][2] - sum(e[name] for e in apart) / N).norm(), rounding, "Λ")


@given(sequences(), st.sampled_from(["loss", "log_likelihood"]))
def test_influences_of_tokens_are_those_of_their_losses_and_sum_to_the_sequences(
    problem, measurement
):
    curvature = ri.fast.EKFAC(problem)
    data = problem.inputs, problem.targets
    options = {"curvature": curvature, "damping": 0.1, "measurement": measurement}
    tokens = ri.token_influence(problem, *data, **options)
    size = float(problem.gradients().norm() ** 2) / 0.1 * problem.targets[0].numel()
    slack = 1e3 * U * (1 + scale_of(problem) / 0.1) * size + U
    within((tokens.sum(dim=2) - ri.influence(problem, *data, **options)).abs(), slack, "sum")
    assert bool((tokens.movedim(0, -1)[problem.targets == -100] == 0).all())
    # by definition: the gradient of one token's loss
    solved = curvature.solve(problem.measurement_gradients(*data, measurement), 0.1).value
    for t in range(problem.targets.shape[1]):
        one = torch.full_like(problem.targets, -100)
        one[:, t] = problem.targets[:, t]
        truth = -solved @ problem.gradients(problem.inputs, one).T
        within((tokens[:, :, t] - truth).abs(), slack, "token")


@given(problems(tokens=(0, 3), examples=(2, 5)))
def test_influences_of_tokens_sum_to_those_of_examples_for_every_loss(problem):
    chosen = torch.tensor([1, 0])
    data = problem.inputs, problem.targets
    options = {"curvature": ri.fast.KFAC(problem), "damping": 0.1, "candidates": chosen}
    tokens = ri.token_influence(problem, *data, **options)
    size = float(problem.gradients().norm() ** 2) / 0.1 * tokens.shape[2]
    slack = 1e3 * U * (1 + scale_of(problem) / 0.1) * size + U
    within((tokens.sum(dim=2) - ri.influence(problem, *data, **options)).abs(), slack)


@given(
    problems(tokens=(2, 6), mixing=False, losses=("cross_entropy",), ignored=False, options=False)
)
def test_the_product_of_the_factors_has_the_scale_of_the_block(problem):
    # Without mixing, the cross terms of tokens vanish in expectation, and sum Λ is the sum over n, r of
    # E|g|^2 |a|^2 / N: between min and max of |a|^2 times tr S, while tr A is the mean of |a|^2. A
    # library that divides both factors by N T is too small by T, which |a|^2 of similar size forbids.
    ekfac = ri.fast.EKFAC(problem)
    run = hooks.forward_pass(problem, problem.inputs)
    for name, (A, S) in ekfac.factors.items():
        squares = (run.inputs[name] ** 2).sum(dim=-1)
        product, trace = float(A.trace() * S.trace()), float(ekfac.eigen[name][2].sum())
        slack = 1e3 * U * scale_of(problem)
        ratios = squares / squares.mean() if float(squares.mean()) > 0 else squares
        within(float(ratios.min()) * product - trace, slack, "too large")
        within(trace - float(ratios.max()) * product, slack, "too small")


@given(sequences())
def test_the_product_of_the_factors_has_the_scale_of_the_positions_prompts_and_padding_or_not(
    problem,
):
    # Every position apart from the others, sum_r E|g_r|^2 |a_r|^2 lies between the least and the
    # greatest |a|^2 of the positions with a gradient, times tr S; tr A is the mean |a|^2 of those that
    # count. Ignored positions that others attend to are in S and not in A, a mean: the scale stands.
    factors = ri.fast.KFAC(problem).factors
    for block in problem.layout.blocks:
        A, S = factors[block.name]
        apart, live = torch.zeros(()).double(), []
        for sweep in sweeps_over(problem):
            squares = (sweep.inputs[block.name] ** 2).sum(dim=-1)
            g = (sweep.gradients[block.name] ** 2).sum(dim=-1).sum(dim=0)
            apart = apart + (g * squares).sum() / problem.num_examples
            live.append(squares[g > 0])
        squares = torch.cat(live)
        if not len(squares):  # nothing counts
            assert not S.any()
            continue
        slack = 1e3 * U * scale_of(problem)
        within(squares.min() * S.trace() - apart, slack, "a position's share")
        within(apart - squares.max() * S.trace(), slack, "a position's share")
        spread = squares / A.trace()
        product = A.trace() * S.trace()
        within(spread.min() * product - apart, slack, "too large")
        within(apart - spread.max() * product, slack, "too small")


def test_leaving_a_prompts_positions_out_of_A_is_nearer_to_the_block_than_counting_them():
    # A convention, and this is why: the completion's positions carry the gradients, so that their
    # inputs stand better for those the gradients meet. Mean relative error over networks, by layer.
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(12):
        problem, mask = _with_prompts(seed)
        G, factors = ri.exact.gauss_newton_matrix(problem), ri.fast.KFAC(problem).factors
        run = hooks.forward_pass(problem, problem.inputs)
        for b in problem.layout.blocks:
            truth, (A, S) = G[b.slice, b.slice], factors[b.name]
            rows = run.inputs[b.name][mask]
            for what, rival in (("left out", A), ("counted", rows.T @ rows / len(rows))):
                error = (torch.kron(S, rival) - truth).norm() / truth.norm()
                found.setdefault(b.name, {}).setdefault(what, []).append(float(error))
    assert len(found) == 4
    for name, errors in found.items():
        assert sum(errors["left out"]) < sum(errors["counted"]), name


def _with_prompts(seed: int) -> tuple[ri.Problem, Tensor]:
    """A Transformer of two blocks on sequences with a prompt and padding; which tokens are real."""
    generator = torch.Generator().manual_seed(seed)
    model = transformer(5, 8, 2, 2, 8, 8, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.2 * noise)
    ids, labels = torch.randint(5, (2, 12, 8), generator=generator)
    place = torch.arange(8)
    mask = place < torch.randint(5, 9, (12, 1), generator=generator)
    prompt = place < torch.randint(2, 5, (12, 1), generator=generator)
    labels = torch.where(mask & ~prompt, labels, -100)
    layers = ["blocks.*.mlp.*"]
    return ri.Problem(model, ri.losses.CrossEntropy(), (ids, mask), labels, layers), mask


def test_what_is_not_tracked_is_listed():
    problem = _small()
    tracked = [layer.name for layer in problem.layout.layers]
    assert tracked == ["blocks.0.mlp.up", "blocks.0.mlp.down"]
    assert "blocks.0.attention.qkv.weight" in problem.frozen
    assert "tokens.weight" in problem.frozen
    assert not any(name.startswith(tuple(tracked)) for name in problem.frozen)
    assert len(problem.frozen) + 4 == len(list(problem.model.named_parameters()))


def _small() -> ri.Problem:
    model = transformer(3, 4, 2, 1, 5, 4, torch.Generator().manual_seed(0))
    ids: Tensor = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]])
    return ri.Problem(model, ri.losses.CrossEntropy(), ids, ids.roll(-1, 1), ["blocks.*.mlp.*"])

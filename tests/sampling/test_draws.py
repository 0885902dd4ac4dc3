"""Sampled labels: independent of each other and of the data's labels, the same for the same seed."""

import pytest
import torch
from evidence import within
from sampling.bands import SHARE, decide
from sampling.labels import forms_of_s, moments, position_jacobians
from sampling.problems import LOSSES, orthonormal, problem as make, units
from torch import Tensor

import refimpl as ri
from refimpl.fast.ekfac import corrected_eigenvalues
from refimpl.oracle.truth.concentration import of_variance_band
from refimpl.rows.draws import label_draws

U = torch.finfo(torch.float64).eps / 2
# How many different examples, copies of them, samples of each; the batch size; how many seeds.
WEIGHTED = "weighted binary cross-entropy on tokens"
SETTINGS = {
    "cross-entropy": ("cross-entropy", 24, 1, 2, 8, 64),
    WEIGHTED: (WEIGHTED, 24, 1, 2, 8, 64),
    "squared error": ("squared error", 24, 1, 2, 8, 64),
    "40 copies in batches of 4": ("cross-entropy", 1, 40, 1, 4, 128),
    "40 copies in one batch": ("cross-entropy", 1, 40, 1, 40, 64),
    "40 samples of one example": ("cross-entropy", 1, 1, 40, 1, 64),
}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def probes_of_s(S: Tensor) -> Tensor:
    u = units(8, len(S), 3)
    return torch.cat([((u @ S) * u).sum(dim=1), S.trace()[None]])


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_variance_over_seeds_is_that_of_independent_labels(setting):
    # One draw for a whole batch, the same draws in every batch, one label for all samples of an
    # example: each multiplies the variance by the number of labels that are the same. A seed that is
    # not used, or labels that are not drawn, make it zero. The expectation of a factor, which
    # test_factors.py has, is the same under all but the last of these.
    name, examples, copies, samples, batch_size, seeds = SETTINGS[setting]
    problem = make(name, examples=examples, copies=copies)
    values = []
    first = 1000 * list(SETTINGS).index(setting)  # other numbers for every setting
    for seed in range(first, first + seeds):
        factors = ri.fast.KFAC(
            problem,
            fisher="sampled",
            samples=samples,
            generator=generator(seed),
            batch_size=batch_size,
        ).factors
        values.append(torch.cat([probes_of_s(S) for _, S in factors.values()]))
    distinct = make(name, examples=examples)
    forms = [
        forms_of_s(G, units(8, G.shape[-1], 3), "expand")
        for G in position_jacobians(distinct).values()
    ]
    exact = moments(distinct, torch.cat(forms)).variance / (examples * copies * samples)
    ratios = torch.stack(values).var(dim=0) / exact
    decide(
        f"variance over seeds, {setting}",
        torch.from_numpy(of_variance_band(ratios.numpy(), seeds, SHARE)),
        1.0,
    )


@pytest.mark.parametrize("name", LOSSES)
def test_every_label_has_a_draw_of_its_own(name):
    problem = make(name, examples=30)
    draws = label_draws(problem, 3, generator(1))
    labels = problem.outputs().numel()
    if isinstance(problem.loss, ri.losses.CrossEntropy):
        labels //= 3  # one for all classes of a token
    assert draws.shape[:2] == (30, 3)
    assert len(draws.unique()) == draws.numel() == 3 * labels


@pytest.mark.parametrize("kind", [ri.fast.KFAC, ri.fast.EKFAC])
@pytest.mark.parametrize("name", LOSSES)
def test_the_same_seed_gives_the_same_factors_and_another_seed_others(name, kind):
    problem = make(name, examples=10)
    first = kind(problem, fisher="sampled", samples=2, generator=generator(1)).factors
    again = kind(problem, fisher="sampled", samples=2, generator=generator(1)).factors
    source = generator(1)
    kind(problem, fisher="sampled", samples=2, generator=source)
    later = kind(problem, fisher="sampled", samples=2, generator=source).factors
    other = kind(problem, fisher="sampled", samples=2, generator=generator(2)).factors
    for b, (_, S) in first.items():
        assert torch.equal(S, again[b][1])
        assert not torch.equal(S, other[b][1])
        assert not torch.equal(S, later[b][1])


def test_without_a_generator_the_seed_is_zero():
    problem = make("cross-entropy", examples=10)
    default = ri.fast.KFAC(problem, fisher="sampled").factors
    zero = ri.fast.KFAC(problem, fisher="sampled", generator=generator(0)).factors
    assert all(torch.equal(default[b][1], zero[b][1]) for b in zero)


def other_labels(problem: ri.Problem) -> ri.Problem:
    """The same problem with every label changed."""
    y = problem.targets
    if not y.is_floating_point():
        changed = (y + 1) % 3
    elif isinstance(problem.loss, ri.losses.BinaryCrossEntropy):
        changed = 1 - y
    else:
        changed = y.flip(0) + 1
    return ri.Problem(problem.model, problem.loss, problem.inputs, changed)


@pytest.mark.parametrize("fisher", ["sampled", "exact", "empirical"])
@pytest.mark.parametrize("name", LOSSES)
def test_only_the_empirical_fisher_sees_the_labels_of_the_data(name, fisher):
    # Plain losses: class weights and ignored labels are weights, and weights belong to the Fisher.
    ours = make(name, examples=12, plain=True)
    for kind in (ri.fast.KFAC, ri.fast.EKFAC):
        one, two = (kind(p, fisher=fisher, samples=2) for p in (ours, other_labels(ours)))
        for b, (A, S) in one.factors.items():
            assert torch.equal(A, two.factors[b][0])
            assert torch.equal(S, two.factors[b][1]) == (fisher != "empirical")
            if kind is ri.fast.EKFAC:
                same = all(map(torch.equal, one.eigen[b], two.eigen[b]))
                assert same == (fisher != "empirical")


@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("name", LOSSES)
def test_the_batch_size_changes_no_label(name, batch_size):
    problem, samples = make(name, examples=12), 3
    draws = label_draws(problem, samples, generator(6))
    # A sum of K terms in two orders: 2 K u sum |term| <= 2 K u tr. Each term is made of dot products
    # of length <= 5 through two layers forth and back, which batches of another size may also sum in
    # another order: 40 roundings. One label drawn otherwise would change a factor by 1 / (N samples).
    for sharing in ("expand", "reduce"):
        options = {"fisher": "sampled", "samples": samples, "weight_sharing": sharing}
        whole = ri.fast.KFAC(problem, **options, generator=generator(6))
        split = ri.fast.KFAC(problem, **options, generator=generator(6), batch_size=batch_size)
        for b, pair in whole.factors.items():
            for ours, parts in zip(pair, split.factors[b], strict=True):
                bound = 2 * U * (12 * samples * 2 + 40) * ours.trace()
                within((ours - parts).abs(), bound, "factors")
    basis = {
        b.name: (orthonormal(b.inputs, 1), orthonormal(b.outputs, 2)) for b in problem.layout.blocks
    }
    both = [
        corrected_eigenvalues(
            problem, basis, fisher="sampled", samples=samples, draws=draws, batch_size=size
        )
        for size in (None, batch_size)
    ]
    for b, L in both[0].items():
        within((L - both[1][b]).abs(), 2 * U * (12 * samples + 40) * L.sum(), "eigenvalues")

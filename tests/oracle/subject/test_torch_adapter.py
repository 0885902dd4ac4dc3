"""A short adapter written with TorchAdapter is right; its conversions are inverse and refuse the rest."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.func import functional_call, grad, jvp, vjp
from torch.nn import functional as F

from refimpl.oracle import Declaration, LossSpec, Unsupported
from refimpl.oracle.cases import all_cases, quick
from refimpl.oracle.checks import CHECKS
from refimpl.oracle.question.conventions import choices
from refimpl.oracle.question.layout import shapes
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.run.runner import run_checks
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.torch_adapter import grouped, parameter_names
from refimpl.oracle.torch import TorchAdapter

ALL = all_cases()
ADAPTER = TorchAdapter()


class Dense(TorchAdapter):
    """Gradients by autograd, products by jvp and vjp, scores by a dense solve."""

    def __init__(self, **conventions):
        self.declaration = Declaration("dense", "1", conventions, "gauss_newton")

    def gradients(self, case):
        mean = case.conventions.loss_reduction == "example_mean"
        rows = self.rows(case, self.training(case), "share" if mean else "sum")
        return self.blocks(case, rows)

    def gauss_newton(self, case, vectors):
        model, loss = self.model(case), self.loss(case, "share")
        point = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
        named = self.from_vectors(case, vectors)
        products = {name: torch.zeros_like(tensor) for name, tensor in named.items()}
        for x, y in self.training(case):
            for k in range(len(vectors)):

                def outputs(parameters, x=x):
                    return functional_call(model, parameters, (x,))

                direction = {name: tensor[k] for name, tensor in named.items()}
                f, moved = jvp(outputs, (point,), (direction,))
                _, pulled = jvp(grad(lambda f, y=y: loss(f, y)), (f,), (moved,))
                for name, product in vjp(outputs, point)[1](pulled)[0].items():
                    products[name][k] += product
        return self.vectors(case, products)

    def scores(self, case, seed):
        train, queries = (
            self.vectors(case, self.rows(case, loader, "sum"))
            for loader in (self.training(case), self.queries(case))
        )
        eye = np.eye(train.shape[1])
        G = self.gauss_newton(case, eye)
        return -queries @ np.linalg.solve(G + case.damping * eye, train.T)

    def rows(self, case, loader, reduction):
        model, loss = self.model(case), self.loss(case, reduction)
        chosen = {n: p for n, p in model.named_parameters() if p.requires_grad}
        rows = [
            torch.autograd.grad(loss(model(x[i : i + 1]), y[i : i + 1]), list(chosen.values()))
            for x, y in loader
            for i in range(len(x))
        ]
        return dict(zip(chosen, map(torch.stack, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize(
    "conventions",
    [
        {},
        {"bias": "separate"},
        {"bias": "none"},
        {"vec_order": "in_major"},
        {"squared_error": "full"},
        {"loss_reduction": "example_mean"},
        {"loss_reduction": "token_mean"},
        {"dtype": "float32"},
    ],
    ids=str,
)
def test_a_short_adapter_is_right_on_the_quick_cases(conventions):
    # Scores by a solve in float32 are another matter, and the dense ones are slow.
    slugs = {"gradients-equal", "gauss-newton-equal"}
    if conventions in ({}, {"bias": "separate"}):
        slugs |= {"scores-equal"}
    checks = [check for check in CHECKS if check.slug in slugs]
    report = run_checks(InProcess(Dense(**conventions)), quick(), checks, diagnose=False)
    wrong = [o for o in report.outcomes if o.verdict in (Verdict.FAIL, Verdict.ERROR)]
    assert [(o.id, o.detail) for o in wrong] == []
    passed = {o.check for o in report.outcomes if o.verdict is Verdict.PASS}
    assert passed == slugs


@st.composite
def case_and_vectors(draw):
    """Any case in any conventions of the layout, with flat vectors [k, P] or [P]."""
    layout = {name: draw(st.sampled_from(choices(name))) for name in ("bias", "vec_order")}
    case = ALL[draw(st.sampled_from(sorted(ALL)))]
    case = case.but(conventions=case.conventions.but(**layout))
    length = sum(rows * columns for rows, columns in shapes(case, case.conventions).values())
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 3)]))
    return case, np.random.default_rng(length).standard_normal((*lead, length))


@given(case_and_vectors())
@settings(max_examples=60, deadline=None)
def test_flat_vectors_become_named_tensors_and_blocks_and_come_back(drawn):
    case, vectors = drawn
    named = ADAPTER.from_vectors(case, vectors)
    assert sorted(named) == sorted(parameter_names(case))
    for name, tensor in named.items():
        assert tuple(tensor.shape) == (*vectors.shape[:-1], *case.parameters[name].shape)
    assert np.array_equal(ADAPTER.vectors(case, named), vectors)
    matrices = ADAPTER.blocks(case, named)
    assert {n: m.shape[-2:] for n, m in matrices.items()} == shapes(case, case.conventions)
    back = ADAPTER.from_blocks(case, matrices)
    assert all(torch.equal(back[name], tensor) for name, tensor in named.items())


def named_zeros(case):
    return {n: torch.zeros(case.parameters[n].shape) for n in parameter_names(case)}


def test_what_is_missing_unknown_or_of_another_shape_is_refused():
    case = ALL["convolution/grouped"]
    named = named_zeros(case)
    first = next(iter(named))
    with pytest.raises(ValueError, match=rf"parameters must be .* missing are \['{first}'\]"):
        ADAPTER.blocks(case, {n: t for n, t in named.items() if n != first})
    with pytest.raises(ValueError, match=r"unknown are \['head.wait'\]"):
        ADAPTER.blocks(case, {**named, "head.wait": torch.zeros(1)})
    with pytest.raises(ValueError, match=rf"parameter '{first}' must have shape"):
        ADAPTER.blocks(case, {**named, first: torch.zeros(2, 2)})
    matrices = ADAPTER.blocks(case, named)
    layer = next(iter(matrices))
    with pytest.raises(ValueError, match=r"layers must be .* unknown are \['other'\]"):
        ADAPTER.from_blocks(case, {**matrices, "other": np.zeros((1, 1))})
    with pytest.raises(ValueError, match=r"layer .* must have shape"):
        ADAPTER.from_blocks(case, {**matrices, layer: matrices[layer].T[:1]})
    with pytest.raises(ValueError, match=r"a flat vector must have shape"):
        ADAPTER.from_vectors(case, np.zeros((2, 3)))


def test_tracked_parameters_alone_require_a_gradient_in_the_compute_dtype():
    for bias in choices("bias"):
        for dtype in (torch.float32, torch.float64):
            for case in quick().values():
                chosen = {"bias": bias, "dtype": str(dtype).removeprefix("torch.")}
                case = case.but(conventions=case.conventions.but(**chosen))
                model = ADAPTER.model(case)
                required = {n for n, p in model.named_parameters() if p.requires_grad}
                assert required == set(parameter_names(case))
                assert {p.dtype for p in model.parameters()} == {dtype}
                assert not model.training
    with pytest.raises(ValueError, match="computes in float32 or float64, not in 'bfloat16'"):
        ADAPTER.model(case.but(conventions=case.conventions.but(dtype="bfloat16")))


def test_loaders_keep_the_order_the_dtype_and_the_short_last_batch():
    case = next(
        c for c in ALL.values() if c.num_examples % c.batch_size and c.inputs.dtype.kind == "f"
    )
    case = case.but(conventions=case.conventions.but(dtype="float32"))
    batches = list(ADAPTER.training(case))
    assert [len(x) for x, _ in batches] == [s.stop - s.start for s in case.batches()]
    assert torch.equal(torch.cat([x for x, _ in batches]), torch.tensor(case.inputs).float())
    queries = torch.cat([y for _, y in ADAPTER.queries(case)])
    assert torch.equal(queries, torch.tensor(case.query_labels).to(queries.dtype))


def test_the_loss_is_that_of_torch_in_every_reduction():
    case = next(iter(ALL.values())).but(
        loss=LossSpec("cross_entropy", class_weight=(1.0, 2.0, 0.5), label_smoothing=0.1)
    )
    outputs = torch.linspace(-1, 2, 24, dtype=torch.float64).reshape(2, 4, 3).sin()
    labels = torch.tensor([[0, 1, -100, 2], [2, -100, -100, 1]])
    weight = torch.tensor(case.loss.class_weight, dtype=torch.float64)
    tokens = F.cross_entropy(
        outputs.mT, labels, weight, label_smoothing=0.1, reduction="none", ignore_index=-100
    )
    sums = tokens.sum(dim=1)
    token_mean = case.but(conventions=case.conventions.but(loss_reduction="token_mean"))
    for asked, losses in ((case, sums), (token_mean, sums / torch.tensor([3, 2]))):
        right = {
            "none": losses,
            "sum": losses.sum(),
            "mean": losses.mean(),
            "share": losses.sum() / case.num_examples,
        }
        for reduction, expected in right.items():
            torch.testing.assert_close(ADAPTER.loss(asked, reduction)(outputs, labels), expected)
    with pytest.raises(ValueError, match=r"reduction must be one of .* got 'batchmean'"):
        ADAPTER.loss(case, "batchmean")


def test_squares_are_halved_or_whole_and_a_mean_over_tokens_of_them_is_unsupported():
    case = next(iter(ALL.values())).but(loss=LossSpec("squared_error"))
    outputs, labels = torch.ones(2, 3), torch.zeros(2, 3)
    assert ADAPTER.loss(case, "sum")(outputs, labels) == 3
    full = case.but(conventions=case.conventions.but(squared_error="full"))
    assert ADAPTER.loss(full, "sum")(outputs, labels) == 6
    mean = case.but(conventions=case.conventions.but(loss_reduction="token_mean"))
    with pytest.raises(Unsupported, match="a mean over tokens of a squared error"):
        ADAPTER.loss(mean)


def test_the_mean_over_tokens_of_a_binary_cross_entropy_is_over_its_positions():
    case = next(iter(ALL.values())).but(
        loss=LossSpec("binary_cross_entropy", pos_weight=(1.0, 3.0))
    )
    case = case.but(conventions=case.conventions.but(loss_reduction="token_mean"))
    outputs = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(2, 5, 2)
    labels = (outputs > 0.3).double()
    entries = F.binary_cross_entropy_with_logits(
        outputs, labels, pos_weight=torch.tensor([1.0, 3.0]).double(), reduction="none"
    )
    torch.testing.assert_close(ADAPTER.loss(case)(outputs, labels), entries.sum((1, 2)) / 5)


def test_the_blocks_of_a_module_are_its_groups():
    for case in ALL.values():
        assert [b for name in case.tracked for b in grouped(case, name)] == [
            b.name for b in case.blocks
        ]

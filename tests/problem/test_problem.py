"""Problem: gradients as a plain loop of torch gives them, and nothing of the caller's is touched."""

import copy

import pytest
import torch
from hypothesis import given
from models import CASES, Tied, twice
from strategies import problems
from torch import Tensor, nn

import refimpl as ri

CE, SE = ri.losses.CrossEntropy, ri.losses.SquaredError
U64, U32 = (torch.finfo(d).eps / 2 for d in (torch.float64, torch.float32))


def looped_gradients(model: nn.Module, loss, inputs: Tensor, targets: Tensor) -> Tensor:
    """One backward pass of torch per example, tracked parameters in named_parameters() order."""
    model = copy.deepcopy(model).double().eval()
    rows = []
    for x, y in zip(inputs, targets, strict=True):
        x = x.double() if x.is_floating_point() else x
        value = loss.value(model(x[None]), y[None])[0]
        parts = torch.autograd.grad(value, list(model.parameters()), materialize_grads=True)
        rows.append(torch.cat([part.reshape(-1) for part in parts]))
    return torch.stack(rows)


def in_torchs_order(problem: ri.Problem, gradients: Tensor) -> Tensor:
    named = problem.layout.named(gradients)
    order = [name for name, _ in problem.model.named_parameters() if name in named]
    return torch.cat([named[name].flatten(1) for name in order], dim=1)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_a_loop_over_examples(name):
    model, shape = CASES[name]
    g = torch.Generator().manual_seed(0)
    x = torch.randn(4, *shape, generator=g).double()
    y = torch.randn(model.double()(x).shape, generator=g).double()
    problem = ri.Problem(model, SE(), x, y)
    truth = looped_gradients(model, SE(), x, y)
    # some hundred products of a few factors, summed in two orders
    assert (
        in_torchs_order(problem, problem.gradients()) - truth
    ).norm() <= 1e3 * U64 * truth.norm()


@given(problems())
def test_gradients_of_random_problems_are_those_of_a_loop_over_examples(problem):
    truth = looped_gradients(
        problem.model.requires_grad_(), problem.loss, problem.inputs, problem.targets
    )
    gradients = in_torchs_order(problem, problem.gradients())
    assert (gradients - truth).norm() <= 1e3 * U64 * truth.norm()
    again = problem.gradients(problem.inputs.clone(), problem.targets.clone())
    assert torch.equal(in_torchs_order(problem, again), gradients)


def state_of(model: nn.Module) -> dict[str, object]:
    return {
        "values": {k: v.clone() for k, v in model.state_dict().items()},
        "parameters": [id(p) for p in model.parameters()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "grad": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "training": [m.training for m in model.modules()],
        "hooks": [
            len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
            for m in model.modules()
        ],
    }


def assert_same(before, after) -> None:
    if isinstance(before, dict):
        assert before.keys() == after.keys()
        before, after = list(before.values()), list(after.values())
    if isinstance(before, list):
        for a, b in zip(before, after, strict=True):
            assert_same(a, b)
    elif isinstance(before, Tensor):
        assert before.dtype == after.dtype
        assert torch.equal(before, after)
    else:
        assert before == after


def everything(problem: ri.Problem) -> None:
    """What has ever been seen to destroy a parameter: every transform of torch.func, and hooks."""
    problem.losses()
    problem.gradients()
    problem.measure(parameters=problem.parameters.expand(2, -1))
    ri.exact.jacobian(problem)
    ri.exact.hessian(problem)
    ri.exact.gauss_newton_matrix(problem)
    ri.exact.bregman_response(problem, [0], epsilon=1e-2, damping=1.0)
    for curvature in (ri.fast.KFAC(problem), ri.fast.EKFAC(problem, fisher="sampled")):
        ri.influence(problem, problem.inputs, problem.targets, curvature=curvature, damping=0.1)


@pytest.mark.parametrize("make", [twice, Tied], ids=["module held twice", "tied modules"])
def test_models_that_share_modules_survive_everything(make):
    # pytorch#164759: functional_call with jvp could leave a wrapped tensor where a parameter was.
    model = make().train()
    model[0].weight.requires_grad_(False) if isinstance(model, nn.Sequential) else None
    model(torch.ones(1, 3)).sum().backward()  # so that there are .grad to lose
    x, y = torch.randn(4, 3), torch.randn(4, *model(torch.ones(1, 3)).shape[1:])
    x0, y0, before = x.clone(), y.clone(), state_of(model)
    problem = ri.Problem(model, SE(), x, y)
    copied = state_of(problem.model)
    everything(problem)
    assert_same(before, state_of(model))
    assert_same(copied, state_of(problem.model))
    assert torch.equal(x, x0)
    assert torch.equal(y, y0)


def test_batch_norm_in_evaluation_mode_keeps_its_statistics_and_dropout_does_nothing():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    model[1].running_mean += 0.3
    model.eval()
    before = state_of(model)
    problem = ri.Problem(model, SE(), torch.randn(5, 3), torch.randn(5, 2))
    everything(problem)
    assert_same(before, state_of(model))
    assert problem.frozen == ("1.weight", "1.bias")
    assert torch.allclose(problem.outputs(), model.double()(problem.inputs), rtol=1e-12)


class Functional(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(input), 0.5, self.training)


def test_the_copy_is_in_evaluation_mode_whatever_mode_the_callers_model_is_in():
    model = nn.Sequential(nn.Linear(3, 3), Functional(3, 2)).train()
    problem = ri.Problem(model, SE(), torch.randn(5, 3), torch.randn(5, 2))
    assert model.training
    assert torch.equal(problem.outputs(), copy.deepcopy(model).double().eval()(problem.inputs))


def test_later_changes_of_the_callers_model_and_data_change_nothing():
    model, x, y = nn.Linear(3, 2).double(), torch.randn(4, 3).double(), torch.zeros(4, 2).double()
    problem = ri.Problem(model, SE(), x, y)
    before = problem.losses()
    with torch.no_grad():
        model.weight.zero_()
    x.zero_()
    y.fill_(9.0)
    assert torch.equal(problem.losses(), before)


class Several(nn.Module):
    """Embeds tokens (frozen), adds real features, and projects."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.mix, self.head = nn.Embedding(7, 3), nn.Linear(2, 3), nn.Linear(3, 4)

    def forward(self, tokens: Tensor, extra: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embedding(tokens) + self.mix(extra)[:, None]))


def test_inputs_may_be_a_tuple_or_a_dict_and_integers_stay_integers():
    model = Several()
    tokens, extra, y = torch.randint(7, (5, 3)), torch.randn(5, 2), torch.randint(4, (5, 3))
    by_place = ri.Problem(model, CE(), (tokens, extra), y)
    by_name = ri.Problem(model, CE(), {"extra": extra, "tokens": tokens}, y)
    assert by_place.frozen == ("embedding.weight",)
    assert by_place.inputs[0].dtype == torch.int64
    assert by_place.inputs[1].dtype == torch.float64
    double, truth = copy.deepcopy(model).double(), []
    for n in range(5):
        loss = CE().value(double(tokens[n : n + 1], extra[n : n + 1].double()), y[n : n + 1])[0]
        truth.append(torch.autograd.grad(loss, double.mix.weight)[0])
    truth = torch.stack(truth)
    for problem in (by_place, by_name):
        gradients = problem.layout.named(problem.gradients())["mix.weight"]
        assert (gradients - truth).norm() <= 100 * U64 * truth.norm()
        assert torch.equal(problem.gradients(problem.inputs, problem.targets), problem.gradients())
        assert problem.num_examples == 5
        everything(problem)


def test_layers_choose_names_patterns_and_their_order():
    model = Several()
    data = (torch.randint(7, (5, 3)), torch.randn(5, 2)), torch.randint(4, (5, 3))
    problem = ri.Problem(model, CE(), *data, layers=["head", "m*"])
    assert [layer.name for layer in problem.layout.layers] == ["head", "mix"]
    assert torch.equal(problem.parameters[:3], model.head.weight[0].double())
    only = ri.Problem(model, CE(), *data, layers=["mix"])
    assert only.frozen == ("embedding.weight", "head.weight", "head.bias")
    assert only.num_parameters == 9
    part = problem.layout.named(problem.gradients())["mix.weight"].flatten(1)
    assert torch.equal(only.layout.named(only.gradients())["mix.weight"].flatten(1), part)


def test_float32_problems_compute_in_float32_to_its_roundoff():
    g = torch.Generator().manual_seed(0)
    model, x = (
        nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)),
        torch.randn(6, 4, generator=g),
    )
    y = torch.arange(6) % 3
    single, double = (
        ri.Problem(model, CE(), x, y, dtype=d) for d in (torch.float32, torch.float64)
    )
    gradients, truth = single.gradients(), double.gradients()
    assert single.parameters.dtype == single.losses().dtype == gradients.dtype == torch.float32
    assert (gradients - truth).norm() <= 100 * U32 * truth.norm()
    assert ri.fast.KFAC(single).dense().dtype == torch.float32


def test_grad_mode_of_the_caller_does_not_matter():
    problem = ri.Problem(nn.Linear(3, 2), SE(), torch.randn(4, 3), torch.randn(4, 2))
    with torch.no_grad():
        inside = problem.gradients(), ri.fast.KFAC(problem).dense(), ri.exact.hessian(problem)
    outside = problem.gradients(), ri.fast.KFAC(problem).dense(), ri.exact.hessian(problem)
    for a, b in zip(inside, outside, strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad


def test_batches_cover_the_data_in_order():
    problem = ri.Problem(nn.Linear(3, 2), SE(), torch.randn(5, 3), torch.randn(5, 2))
    pieces = list(problem.batches(2))
    assert [place for place, _, _ in pieces] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert torch.equal(torch.cat([x for _, x, _ in pieces]), problem.inputs)
    assert torch.equal(torch.cat([y for _, _, y in pieces]), problem.targets)

"""A Problem's own copy, its inputs in every form, its gradients and measurements."""

import torch
from hypothesis import given
from strategies import mlp, problems

import refimpl as ri

U = torch.finfo(torch.float64).eps / 2


class Two(torch.nn.Module):
    """Called with two tensors, one of them integer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.a = torch.nn.Embedding(5, 3), torch.nn.Linear(3, 2)

    def forward(self, ids, scale):
        return self.a(self.embedding(ids) * scale)


@given(problems(examples=(1, 5), depth=(1, 3)))
def test_gradients_are_those_of_autograd_one_example_at_a_time(problem):
    gradients = problem.gradients()
    for n in range(problem.num_examples):
        theta = problem.parameters.clone().requires_grad_()
        one = problem.losses(problem.inputs[n : n + 1], problem.targets[n : n + 1], theta)
        (truth,) = torch.autograd.grad(one.sum(), theta)
        # The same products in batches of another shape
        scale = truth.norm() + problem.inputs[n].norm()
        assert (gradients[n] - truth).norm() <= 1e3 * U * scale


def test_tuples_and_dicts_are_the_models_arguments():
    model = Two()
    ids, scale = torch.arange(4), torch.rand(4, 1)
    y = torch.arange(4) % 2
    by_tuple = ri.Problem(model, ri.losses.CrossEntropy(), (ids, scale), y)
    by_dict = ri.Problem(model, ri.losses.CrossEntropy(), {"scale": scale, "ids": ids}, y)
    assert by_tuple.num_examples == 4
    assert torch.equal(by_tuple.gradients(), by_dict.gradients())
    assert torch.equal(ri.fast.KFAC(by_tuple).dense(), ri.fast.KFAC(by_dict).dense())
    assert by_tuple.frozen == ("embedding.weight",)
    G = ri.exact.gauss_newton_matrix(by_dict)
    assert (ri.exact.GaussNewton(by_dict).dense() - G).norm() <= 100 * U * G.norm()


def test_layers_are_chosen_by_pattern_and_the_rest_is_frozen():
    model = torch.nn.ModuleDict({"mlp": mlp([3, 4, 3], bias=True, activation="tanh")})
    model["head"] = torch.nn.Linear(3, 2)

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = model

        def forward(self, x):
            return self.parts["head"](self.parts["mlp"](x))

    x, y = torch.randn(5, 3), torch.zeros(5, 2)
    whole = ri.Problem(Whole(), ri.losses.SquaredError(), x, y)
    some = ri.Problem(Whole(), ri.losses.SquaredError(), x, y, layers=["parts.mlp.*"])
    assert some.frozen == ("parts.head.weight", "parts.head.bias")
    assert whole.frozen == ()
    last = whole.layout.blocks[-1]
    assert last.name == "parts.head"
    assert some.num_parameters == whole.num_parameters - last.outputs * last.inputs


def test_float32_stays_float32():
    model = mlp([3, 4, 2], bias=True, activation="tanh")
    x, y = torch.randn(5, 3), torch.arange(5) % 2
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, y, dtype=torch.float32)
    double = ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    for kind in (ri.exact.GaussNewton, ri.fast.KFAC, ri.fast.EKFAC, ri.fast.Diagonal):
        single = kind(problem)
        assert single.dense().dtype == torch.float32
        solution = single.solve(problem.parameters, 0.1)
        assert solution.value.dtype == torch.float32
        assert bool(solution.certificate.converged)
    G = ri.exact.GaussNewton(double).dense()
    error = (ri.exact.GaussNewton(problem).dense().double() - G).norm()
    assert error <= 100 * torch.finfo(torch.float32).eps * G.norm()


def test_several_parameter_vectors_are_measured_at_once():
    model = mlp([3, 4, 2], bias=True, activation="tanh")
    x, y = torch.randn(5, 3), torch.arange(5) % 2
    problem = ri.Problem(model, ri.losses.CrossEntropy(), x, y)
    theta = torch.stack([problem.parameters, 2 * problem.parameters])
    many = problem.measure(x, y, parameters=theta)
    assert many.shape == (2, 5)
    for k in range(2):
        one = problem.measure(x, y, parameters=theta[k])
        assert torch.allclose(many[k], one, rtol=100 * U, atol=10 * U)
    assert torch.equal(problem.measure(x, y), problem.measure())

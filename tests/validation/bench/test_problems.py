"""The trained perceptrons: their sizes, their precision, and that they are trained."""

import pytest
import torch

from validation.bench.problems import perceptron


def test_a_perceptron_is_trained_and_of_the_precision_asked_for():
    bench = perceptron([16, 4, 10], 30, 5, dtype=torch.float32, iterations=30)
    fresh = perceptron([16, 4, 10], 30, 5, iterations=0)
    assert bench.problem.num_parameters == 4 * 17 + 10 * 5
    assert bench.problem.dtype == bench.split.query_inputs.dtype == torch.float32
    assert float(bench.problem.losses().mean()) < 0.5 * float(fresh.problem.losses().mean())


def test_queries_come_from_the_training_images_where_those_are_all_there_are():
    bench = perceptron([16, 2, 10], 1795, 4, iterations=0)
    assert len(bench.split.query_inputs) == 4
    torch.testing.assert_close(bench.split.query_inputs[2:], bench.split.inputs[:2], rtol=0, atol=0)


def test_inputs_must_be_a_square_image():
    with pytest.raises(ValueError, match="square image, got 15"):
        perceptron([15, 2, 10], 10, 2)

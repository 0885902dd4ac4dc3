"""What stands between our conventions and the peers'; the peers themselves live in nox's environment."""

import pytest
import torch

from validation.bench import libraries
from validation.bench.problems import perceptron


def test_the_order_takes_weight_then_bias_to_rows_of_both():
    bench = perceptron([16, 3, 10], 20, 2, iterations=1)
    theirs = torch.cat([p.detach().flatten() for p in bench.model.parameters()])
    order = libraries.curvlinops_order(bench)
    torch.testing.assert_close(theirs[order], bench.problem.parameters, rtol=0, atol=0)
    assert not torch.equal(order, torch.arange(len(order)))


def test_a_library_that_is_not_there_is_named_with_what_to_do():
    with pytest.raises(
        libraries.NoPeer, match="no_such_library is not installed here: `nox -s bench`"
    ):
        libraries.import_library("no_such_library")

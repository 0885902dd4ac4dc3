"""A mean over tokens: of each example over its own, and over its counted ones."""

import pytest
import torch
from oracle.judging import verdict

from refimpl.losses import CrossEntropy
from refimpl.oracle.cases import all_cases
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.token_mean import TokenMean
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.selftest.honest import KINDS, implementation
from refimpl.oracle.subject.adapter import Declaration

MEAN = {"loss_reduction": "token_mean"}
UNEQUAL = ("tokens/hostile-padding", "tokens/prompt", "degenerate/empty-example")


def test_it_is_the_sum_over_the_number_of_counted_tokens() -> None:
    f = torch.randn(3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0, 1, 1, 0], [1, -100, 0, -100], [-100] * 4])
    mean, total = TokenMean(), CrossEntropy()
    torch.testing.assert_close(mean.value(f, y) * torch.tensor([4.0, 2.0, 1.0]), total.value(f, y))
    torch.testing.assert_close(
        mean.weights(f, y).sum(dim=1), torch.tensor([1.0, 1.0, 0.0]).double()
    )
    torch.testing.assert_close(mean.value(f[:, 0], y[:, 0]), total.value(f[:, 0], y[:, 0]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["mlp/tanh-square", *UNEQUAL])
def test_examples_of_unequal_length_decide_it(name: str, kind: str) -> None:
    adapter, case = implementation(kind, MEAN), all_cases()[name]
    for slug in ("gradients-equal", "factor-s-equal", "eigenvalues-equal", "scores-equal"):
        assert verdict(adapter, case, slug) is Verdict.PASS


class OverTheDataSet(Pipeline):
    """The mean over the tokens of all examples, as a library does that averages over a batch."""

    declaration = Declaration("over the data set", conventions=MEAN)

    def token_weight(self, case, y, T):
        """What a token's loss is multiplied by."""
        counted = self.counted(case, y, T)
        return counted / counted.sum() * len(y)


def test_a_mean_over_all_tokens_together_is_caught() -> None:
    for slug in ("gradients-equal", "factor-s-equal", "eigenvalues-equal", "scores-equal"):
        assert verdict(OverTheDataSet(), all_cases()[UNEQUAL[0]], slug) is Verdict.FAIL

"""Faults of masking: tokens that count although they should not, and the other way round."""

from typing import Any

import torch

from refimpl.oracle.faults.fault import Fault

__all__ = ["FAULTS"]

BUG = "masking"
REDUCE = {"weight_sharing": "reduce"}


def _all(right: Any, me: Any, case: Any, y: Any, T: int) -> Any:
    return torch.ones_like(right(case, y, T))


def _only_trailing_dropped(
    right: Any, me: Any, case: Any, module: Any, a: Any, y: Any, R: int
) -> Any:
    """Counts everything up to the last counted row: prompts, and gaps in the middle."""
    counted = right(case, module, a, y, R)
    return (counted.flip(1).cumsum(dim=1).flip(1) > 0).to(counted)


def _last_dropped(right: Any, me: Any, case: Any, y: Any, T: int) -> Any:
    counted = right(case, y, T)
    if T == 1 or case.loss.kind != "cross_entropy":
        return counted
    after = counted.flip(1).cumsum(dim=1).flip(1)
    return torch.where(after == 1, 0.0, counted)


def _bias_of_all_rows(right: Any, me: Any, a: Any, counted: Any) -> Any:
    A = right(a, counted)
    if bool((a[..., -1] == 1).all()):
        A[-1, -1] = counted.numel()
    return A


def _omega_everywhere(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    omega = right(case, f, y)
    return torch.where(omega == 0, torch.ones_like(omega), omega)


def _padding_in_gradient(right: Any, me: Any, g: Any, a: Any) -> Any:
    """Rows after the last whose gradient is not zero take that of the first."""
    dead = (g == 0).all(dim=-1, keepdim=True).all(dim=0, keepdim=True)
    return right(torch.where(dead, g[:, :, :1], g), a)


def _whole_queries(right: Any, me: Any, case: Any) -> Any:
    x, y = right(case)
    return x, torch.where(y == case.loss.ignore_index, 0, y) if not y.is_floating_point() else y


def _cut(right: Any, me: Any, case: Any) -> Any:
    """Every example is cut to the length of the shortest."""
    x, y = right(case)
    if case.loss.kind != "cross_entropy" or y.ndim != 2:
        return x, y
    shortest = max(int((y != case.loss.ignore_index).sum(dim=1).min()), 1)
    y = y.clone()
    y[:, shortest:] = case.loss.ignore_index
    return x, y


def _nonempty_mean(right: Any, me: Any, case: Any, seed: int) -> Any:
    kept = int(case.mask.reshape(case.num_examples, -1).any(axis=1).sum())
    return {n: (A, S * case.num_examples / kept) for n, (A, S) in right(case, seed).items()}


FAULTS = (
    Fault(
        "padding-in-loss", BUG, "gradients",
        "ignored tokens contribute to the loss, with label 0",
        "counted", _all, "pomonam/kronfluence tests attention_mask",
    ),
    Fault(
        "padding-in-a", BUG, "factors",
        "A includes the rows of ignored tokens",
        "counted_rows", lambda right, me, *args: torch.ones_like(right(*args)),
        "EleutherAI/bergson#123",
    ),
    Fault(
        "prompt-in-a", BUG, "factors",
        "A leaves out padding at the end, but not ignored tokens before: prompts",
        "counted_rows", _only_trailing_dropped,
        "EleutherAI/bergson test_masked_prompt_covariance.py",
    ),
    Fault(
        "padding-in-s", BUG, "factors",
        "pseudo-gradients of ignored tokens are in S and Lambda",
        "omega", _omega_everywhere, "EleutherAI/bergson#123",
    ),
    Fault(
        "padding-in-count-of-a", BUG, "factors",
        "the sum of A leaves ignored tokens out, its denominator does not",
        "a_count", lambda right, me, counted: counted.new_tensor(float(counted.numel())),
    ),
    Fault(
        "bias-of-padding-in-a", BUG, "factors",
        "ignored tokens are zeroed in A before the 1 of the bias is appended",
        "a_sum", _bias_of_all_rows,
    ),
    Fault(
        "reduce-mean-over-padding", BUG, "factors",
        "reduce: inputs are averaged over ignored tokens as well",
        "shared",
        lambda right, me, case, a, counted, g: (
            a.mean(dim=1, keepdim=True), *right(case, a, counted, g)[1:]
        ),
        conventions=REDUCE,
    ),
    Fault(
        "reduce-zeros-in-mean", BUG, "factors",
        "reduce: ignored inputs are zeroed, but counted in the mean over positions",
        "shared",
        lambda right, me, case, a, counted, g: (
            torch.where(counted[..., None] > 0, a, 0.0).mean(dim=1, keepdim=True),
            *right(case, a, counted, g)[1:],
        ),
        conventions=REDUCE,
    ),
    Fault(
        "last-token-dropped", BUG, "gradients",
        "the last counted token of every example is left out",
        "counted", _last_dropped,
    ),
    Fault(
        "first-token-dropped", BUG, "gradients",
        "the first token of every example is left out",
        "counted",
        lambda right, me, case, y, T: right(case, y, T)
        * (1 if T == 1 else (torch.arange(T) > 0).double()),
    ),
    Fault(
        "cut-to-shortest", BUG, "gradients",
        "every example is cut to the length of the shortest",
        "training", _cut,
    ),
    Fault(
        "gradient-of-padding", BUG, "gradients",
        "rows without a gradient repeat the first row's",
        "matrices", _padding_in_gradient,
    ),
    Fault(
        "query-prompt-counted", BUG, "scores",
        "queries are measured on ignored tokens as well: prompt and completion",
        "queries", _whole_queries,
    ),
    Fault(
        "empty-examples-left-out", BUG, "factors",
        "examples without a counted token are left out of the N that S is divided by",
        "factors", _nonempty_mean,
    ),
)  # fmt: skip

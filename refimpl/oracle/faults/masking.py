"""Faults of masking: tokens that count although they should not, and the other way round."""

from typing import Any

import torch

from refimpl.oracle.faults.fault import mistake

REDUCE = {"weight_sharing": "reduce"}


@mistake("gradients", edits="counted", thread="pomonam/kronfluence tests attention_mask")
def padding_in_loss(right: Any, me: Any, case: Any, y: Any, T: int) -> Any:
    """ignored tokens contribute to the loss, with label 0"""
    return torch.ones_like(right(case, y, T))


@mistake("factors", edits="counted_rows", thread="EleutherAI/bergson#123")
def padding_in_a(right: Any, me: Any, *args: Any) -> Any:
    """A includes the rows of ignored tokens"""
    return torch.ones_like(right(*args))


@mistake(
    "factors", edits="counted_rows", thread="EleutherAI/bergson test_masked_prompt_covariance.py"
)
def prompt_in_a(right: Any, me: Any, case: Any, module: Any, a: Any, y: Any, R: int) -> Any:
    """A leaves out padding at the end, but not ignored tokens before: prompts

    Counts everything up to the last counted row: prompts, and gaps in the middle.
    """
    counted = right(case, module, a, y, R)
    return (counted.flip(1).cumsum(dim=1).flip(1) > 0).to(counted)


@mistake("factors", edits="omega", thread="EleutherAI/bergson#123")
def padding_in_s(right: Any, me: Any, case: Any, f: Any, y: Any) -> Any:
    """pseudo-gradients of ignored tokens are in S and Lambda"""
    omega = right(case, f, y)
    return torch.where(omega == 0, torch.ones_like(omega), omega)


@mistake("factors", edits="a_count")
def padding_in_count_of_a(right: Any, me: Any, counted: Any) -> Any:
    """the sum of A leaves ignored tokens out, its denominator does not"""
    return counted.new_tensor(float(counted.numel()))


@mistake("factors", edits="a_sum")
def bias_of_padding_in_a(right: Any, me: Any, a: Any, counted: Any) -> Any:
    """ignored tokens are zeroed in A before the 1 of the bias is appended"""
    A = right(a, counted)
    if bool((a[..., -1] == 1).all()):
        A[-1, -1] = counted.numel()
    return A


@mistake("factors", edits="shared", conventions=REDUCE)
def reduce_mean_over_padding(right: Any, me: Any, case: Any, a: Any, counted: Any, g: Any) -> Any:
    """reduce: inputs are averaged over ignored tokens as well"""
    return (a.mean(dim=1, keepdim=True), *right(case, a, counted, g)[1:])


@mistake("factors", edits="shared", conventions=REDUCE)
def reduce_zeros_in_mean(right: Any, me: Any, case: Any, a: Any, counted: Any, g: Any) -> Any:
    """reduce: ignored inputs are zeroed, but counted in the mean over positions"""
    return (
        torch.where(counted[..., None] > 0, a, 0.0).mean(dim=1, keepdim=True),
        *right(case, a, counted, g)[1:],
    )


@mistake("gradients", edits="counted")
def last_token_dropped(right: Any, me: Any, case: Any, y: Any, T: int) -> Any:
    """the last counted token of every example is left out"""
    counted = right(case, y, T)
    if T == 1 or case.loss.kind != "cross_entropy":
        return counted
    after = counted.flip(1).cumsum(dim=1).flip(1)
    return torch.where(after == 1, 0.0, counted)


@mistake("gradients", edits="counted")
def first_token_dropped(right: Any, me: Any, case: Any, y: Any, T: Any) -> Any:
    """the first token of every example is left out"""
    return right(case, y, T) * (1 if T == 1 else (torch.arange(T) > 0).double())


@mistake("gradients", edits="training")
def cut_to_shortest(right: Any, me: Any, case: Any) -> Any:
    """every example is cut to the length of the shortest

    Every example is cut to the length of the shortest.
    """
    x, y = right(case)
    if case.loss.kind != "cross_entropy" or y.ndim != 2:
        return x, y
    shortest = max(int((y != case.loss.ignore_index).sum(dim=1).min()), 1)
    y = y.clone()
    y[:, shortest:] = case.loss.ignore_index
    return x, y


@mistake("gradients", edits="matrices")
def gradient_of_padding(right: Any, me: Any, g: Any, a: Any) -> Any:
    """rows without a gradient repeat the first row's

    Rows after the last whose gradient is not zero take that of the first.
    """
    dead = (g == 0).all(dim=-1, keepdim=True).all(dim=0, keepdim=True)
    return right(torch.where(dead, g[:, :, :1], g), a)


@mistake("scores", edits="queries")
def query_prompt_counted(right: Any, me: Any, case: Any) -> Any:
    """queries are measured on ignored tokens as well: prompt and completion"""
    x, y = right(case)
    return x, torch.where(y == case.loss.ignore_index, 0, y) if not y.is_floating_point() else y


@mistake("factors", edits="factors")
def empty_examples_left_out(right: Any, me: Any, case: Any, seed: int) -> Any:
    """examples without a counted token are left out of the N that S is divided by"""
    counted = int(case.mask.reshape(case.num_examples, -1).any(axis=1).sum())
    return {n: (A, S * case.num_examples / counted) for n, (A, S) in right(case, seed).items()}

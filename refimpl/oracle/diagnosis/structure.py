"""Patterns in the arrays of an answer that no hypothesis reproduces."""

from collections.abc import Iterator

import numpy as np

from refimpl.oracle.diagnosis.question import Question, distance
from refimpl.oracle.diagnosis.scalars import expression_for
from refimpl.oracle.question.case import Array
from refimpl.oracle.question.conventions import ROUNDOFF
from refimpl.oracle.stages.near import is_near

__all__ = ["observations", "size_of_error"]

PLURAL = {"entry": "entries"}


def observations(question: Question) -> list[str]:
    """Sentences on where and how an answer is wrong.

    Args:
        question: Gives the answer, the right answer and the tolerances.
    """
    answer, right = question.answer, question.right
    wrong = [n for n in answer if not is_near(answer[n], right[n], question.tolerances[n])]
    if not wrong:
        return []
    sentences: list[str] = []
    if len(wrong) < len(answer):
        fine = [n for n in answer if n not in wrong]
        names = f"wrong is {_first_names(wrong)} only; {_first_names(fine)} is right"
        sentences.append(f"{question.stage}: {names}")
    for name in wrong[:4]:
        pattern = next(_patterns(question, name), None)
        sentences.append(f"{name}: {pattern or size_of_error(answer[name], right[name])}")
    return sentences


def size_of_error(a: Array, r: Array) -> str:
    """The largest error of an array as a clause.

    Args:
        a: An answer, any shape.
        r: The right answer, same shape.
    """
    if not np.any(r):
        return f"right is zero, and this is up to {np.abs(a).max():.1e}"
    return f"off by {distance(a, r):.1e} of its largest entry, in no pattern that is known"


def _patterns(question: Question, name: str) -> Iterator[str]:
    a, r, tolerance = question.answer[name], question.right[name], question.tolerances[name]
    if not np.any(a):
        yield "all zeros"
    if a.ndim >= 2 and a.shape[-1] == a.shape[-2] and is_near(np.swapaxes(a, -1, -2), r, tolerance):
        yield "the transpose of what is right"
    yield from _rounded(a, r, question.trial.unit)
    yield from _wrong_slices(question, a, r, tolerance)
    yield from _power_law(question, a, r, tolerance)
    if is_near(np.abs(a), np.abs(r), tolerance):
        yield "right but for signs"
    if is_near(np.sort(a.ravel()), np.sort(r.ravel()), tolerance):
        yield "the right numbers in another order"
    if a.ndim == 2:
        yield from _differences(question, a, r, tolerance)


def _wrong_slices(question: Question, a: Array, r: Array, tolerance: float) -> Iterator[str]:
    """Which slices along an axis are wrong, and whether each slice is right up to a scale."""
    axes = question.definition.axes[-a.ndim :]
    size = tolerance * np.abs(r).max()
    for axis, word in enumerate(axes):
        bad = np.abs(a - r).max(axis=tuple(i for i in range(a.ndim) if i != axis)) > size
        if bad.any() and not bad.all():
            where = np.flatnonzero(bad).tolist()
            text = f"only {PLURAL.get(word, word + 's')} {where[:12]} of {len(bad)} are wrong"
            last = question.case.num_examples % question.case.batch_size or 1
            if word == "example" and where == list(range(len(bad) - last, len(bad))):
                text += ": the last batch"
            if word == "column" and where == [len(bad) - 1]:
                text += ": the bias"
            zero = np.abs(np.take(a, where, axis=axis)).max() == 0
            yield text + ("; they are zero" if zero else "")
    for axis, word in enumerate(axes):
        rows, wanted = (np.moveaxis(m, axis, 0).reshape(a.shape[axis], -1) for m in (a, r))
        if rows.shape[1] < 2:
            continue
        norms = np.maximum((wanted**2).sum(axis=1), 1e-300)
        scales = (rows * wanted).sum(axis=1) / norms
        if np.abs(rows - scales[:, None] * wanted).max() <= size * max(
            np.abs(scales).max(), 1e-300
        ):
            some = ", ".join(expression_for(float(s), question.case, tolerance) for s in scales[:4])
            yield f"each {word} is right but for a factor of its own: {some}, ..."


def _power_law(question: Question, a: Array, r: Array, tolerance: float) -> Iterator[str]:
    """A power law a = c r^p, entry by entry."""
    nonzero = (np.abs(r) > 1e-8 * np.abs(r).max()) & (a != 0)
    if nonzero.sum() < 4:
        return
    x, y = np.log(np.abs(r[nonzero])), np.log(np.abs(a[nonzero]))
    if np.ptp(x) < 1e-6:
        return
    p, c = np.polyfit(x, y, 1)
    if abs(p - 1) > 1e-6 and np.abs(p * x + c - y).max() < 1e-6:
        scale = expression_for(float(np.exp(c)), question.case, 1e-6)
        yield f"{scale} times the power {p:.4g} of what is right"


def _rounded(a: Array, r: Array, unit: float) -> Iterator[str]:
    """Numbers of lower precision than declared, with errors of that precision."""
    error = distance(a, r)
    as_bits = np.asarray(a, dtype=np.float32)
    short = not (as_bits.view(np.uint32) & 0xFFFF).any()
    if error < 1e-2 and short and np.any(a) and unit < ROUNDOFF["bfloat16"]:
        yield "rounded to bfloat16"
    elif error < 1e-4 and np.array_equal(as_bits, a) and unit < ROUNDOFF["float32"]:
        yield "rounded to float32: single precision"
    elif error < 1e-5:
        yield f"right to {error:.0e} only: an iteration that ends early, or a part in lower precision"


def _differences(question: Question, a: Array, r: Array, tolerance: float) -> Iterator[str]:
    d = a - r
    if d.shape[0] == d.shape[1]:
        mean = np.trace(d) / len(d)
        if np.abs(d - mean * np.eye(len(d))).max() <= tolerance * np.abs(r).max():
            yield f"{expression_for(float(mean), question.case, 1e-9)} too much on the diagonal"
    s = np.linalg.svd(d, compute_uv=False)
    if len(s) > 2 and s[1] <= tolerance * np.abs(r).max():
        u, _, v = np.linalg.svd(d)
        kind = (
            "symmetric: a mean subtracted or added" if np.allclose(abs(u[:, 0]), abs(v[0])) else ""
        )
        yield f"a difference of rank one {kind}".rstrip()


def _first_names(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

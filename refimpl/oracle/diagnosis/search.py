"""Search for conventions, faults, pairs of these and a scalar that reproduce an answer."""

import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from refimpl.oracle.diagnosis.question import Question, distance
from refimpl.oracle.diagnosis.scalars import expression_for
from refimpl.oracle.faults import FAULTS, Fault, edited
from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.question.case import Array
from refimpl.oracle.question.conventions import Conventions, explanations
from refimpl.oracle.stages.answer import Arrays
from refimpl.oracle.subject.adapter import Declaration

__all__ = ["Finding", "Hypothesis", "convention_hypotheses", "search_findings"]

LIKELY = 8  # hypotheses of which pairs are tried, those that come nearest


@dataclass(frozen=True)
class Hypothesis:
    """A pipeline that may answer as the implementation does.

    Args:
        faults: Edits of the pipeline.
        conventions: Those that differ from the declared ones.
        curvature: The matrix inverted, where it is another one than declared.
    """

    faults: tuple[Fault, ...] = ()
    conventions: tuple[tuple[str, str], ...] = ()
    curvature: str = ""

    @property
    def sentence(self) -> str:
        """The hypothesis as a sentence."""
        clauses = [
            f"{explanations()[c]} (another convention than declared: {c[0]}={c[1]!r})"
            for c in self.conventions
        ]
        clauses += [f"the matrix inverted is {self.curvature}'s"] if self.curvature else []
        return "; and ".join([*clauses, *(f.sentence for f in self.faults)])

    @property
    def size(self) -> int:
        """Number of its faults, conventions and matrices."""
        return len(self.faults) + len(self.conventions) + bool(self.curvature)

    def joined(self, other: "Hypothesis") -> "Hypothesis":
        """The hypothesis that both hold."""
        return Hypothesis(
            (*self.faults, *other.faults),
            (*self.conventions, *other.conventions),
            self.curvature or other.curvature,
        )

    def answer(self, question: Question) -> Arrays:
        """The answer if the hypothesis is true.

        Args:
            question: A stage on a case, with the declaration that the hypothesis changes.
        """
        given = question.trial.declaration
        both = {**given.conventions, **dict(self.conventions)}
        declaration = Declaration(
            given.name,
            conventions=both,
            curvature=self.curvature or given.curvature,  # type: ignore[arg-type]
        )
        pipeline = edited(Pipeline, *self.faults)(declaration)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return question.answer_of(pipeline, **dict(self.conventions))


@dataclass(frozen=True)
class Finding:
    """An explanation of an answer.

    Args:
        text: The explanation as a sentence.
        hypothesis: The hypothesis that reproduces the answer; None for a pattern in its arrays.
        size: Number of parts; fewer are likelier.
        error: Difference of hypothesis and answer, relative to the largest entry.
    """

    text: str
    hypothesis: Hypothesis | None = None
    size: int = 0
    error: float = 0.0


@dataclass
class _Match:
    """Comparison of an answer with a hypothesis's answer, array by array."""

    factors: dict[str, float] = field(default_factory=dict)  # the arrays that match, their scale
    errors: dict[str, float] = field(default_factory=dict)  # of these, how far each is from it
    distance: float = 0.0  # largest relative difference of the others, scaled at best

    @property
    def error(self) -> float:
        """The largest error of those that match."""
        return max(self.errors.values(), default=0.0)

    def explained(self, right: "_Match") -> set[str]:
        """Names of the arrays that match and are not as well explained by being right up to a scale."""
        return {
            n
            for n, s in self.factors.items()
            if n not in right.factors or (right.factors[n] != 1.0 and s == 1.0)
        }


def compare_answers(question: Question, arrays: Arrays) -> _Match | None:
    """Compare each array of the answer with another answer's; None where shapes differ.

    Args:
        question: Gives the implementation's answer and the tolerances.
        arrays: The other answer, by name.
    """
    match = _Match()
    for name, answer in question.answer.items():
        other = arrays.get(name)
        if other is None or other.shape != answer.shape or not np.isfinite(other).all():
            return None
        scale, error = _fitted(answer, other)
        if error <= question.tolerances[name]:
            match.factors[name] = 1.0 if abs(scale - 1) <= question.tolerances[name] else scale
            match.errors[name] = error
        else:
            match.distance += min(error, 1e3)
    return match


def _fitted(answer: Array, other: Array) -> tuple[float, float]:
    """The scale that brings the other array nearest, and its error relative to the largest entry."""
    size = float(np.abs(other).max()) if other.size else 0.0
    if size == 0.0:
        return 1.0, 0.0 if not np.any(answer) else np.inf
    plain = distance(answer, other)
    # u as the answer's, so that huge numbers do not overflow
    scale = float((answer / size * (other / size)).sum() / ((other / size) ** 2).sum())
    if scale == 0.0:
        return 1.0, plain
    error = float(np.abs(answer / scale - other).max()) / size
    return (1.0, plain) if plain <= 2 * error else (scale, error)


def convention_hypotheses(question: Question) -> Iterator[Hypothesis]:
    """Hypotheses that change one convention, or the matrix that is inverted.

    Args:
        question: Gives the declared conventions and the stage.
    """
    now: Conventions = question.case.conventions
    for name, choice in explanations():
        if getattr(now, name) != choice:
            yield Hypothesis(conventions=((name, choice),))
    if question.definition.inverts:
        for curvature in ("kfac", "ekfac", "gauss_newton"):
            if curvature != question.trial.declaration.curvature:
                yield Hypothesis(curvature=curvature)


def search_findings(question: Question, suspects: Iterable[str], seconds: float) -> list[Finding]:
    """Explanations that reproduce the answer, those of fewest parts first; empty where none fits.

    Args:
        question: Gives the answer to reproduce.
        suspects: Names of the stages whose faults are tried.
        seconds: CPU time of this process after which no further pair is tried.
    """
    right = compare_answers(question, question.right)
    assert right is not None
    scaled: list[Finding] = []
    if len(right.factors) == len(question.answer):
        if all(s == 1.0 for s in right.factors.values()):
            return []
        scaled.append(_finding(question, Hypothesis(), right, right))
    suspects = tuple(suspects)
    singles = list(convention_hypotheses(question))
    singles += [Hypothesis((f,)) for stage in suspects for f in FAULTS if f.stage == stage]
    findings, near = _test_hypotheses(question, singles, right, float("inf"))
    deadline = time.process_time() + seconds  # of this process: no other may change the findings
    if not findings and not scaled:
        near.sort(key=lambda pair: pair[0])
        likely = [h for _, h in near[:LIKELY]]
        others = likely + [h for h in singles if h.conventions or h.curvature]
        pairs = [a.joined(b) for i, a in enumerate(likely) for b in others[i + 1 :] if a != b]
        pairs += [b.joined(a) for i, a in enumerate(likely) for b in likely[i + 1 :]]
        findings += _test_hypotheses(question, pairs, right, deadline)[0]
    # Of two that are as simple, that which is bit for bit the answer is the one to read.
    return sorted(findings + scaled, key=lambda f: (f.size, f.error))


def _test_hypotheses(
    question: Question, hypotheses: Iterable[Hypothesis], right: _Match, deadline: float
) -> tuple[list[Finding], list[tuple[float, Hypothesis]]]:
    """Findings, and the distances of the other hypotheses that change anything."""
    findings: list[Finding] = []
    near: list[tuple[float, Hypothesis]] = []
    for hypothesis in hypotheses:
        if time.process_time() > deadline:
            break
        try:
            arrays = hypothesis.answer(question)
        except Exception:  # an edit that does not fit this case: it explains nothing here
            continue
        match = compare_answers(question, arrays)
        if match is None or _same(arrays, question):
            continue
        new = match.explained(right)
        if any(
            match.factors[n] != 1.0 and not _fits_ten_times_better(match.errors[n], n, question)
            for n in new
        ):
            continue
        if new and set(match.factors) | set(right.factors) == set(question.answer):
            findings.append(_finding(question, hypothesis, match, right))
        else:
            near.append((match.distance, hypothesis))
    return findings, near


def _fits_ten_times_better(error: float, name: str, question: Question) -> bool:
    """Whether a match at some scale comes much nearer to the answer than the right answer does.

    An iteration that ended early gives an answer that also matches hypotheses that differ in a scale.
    """
    return error <= 0.1 * distance(question.answer[name], question.right[name])


def _same(arrays: Arrays, question: Question) -> bool:
    """Whether a hypothesis changes nothing on this case."""
    return all(
        _fitted(m, question.right[n])[1] <= question.tolerances[n]
        and abs(_fitted(m, question.right[n])[0] - 1) <= question.tolerances[n]
        for n, m in arrays.items()
        if n in question.right
    )


def _finding(question: Question, h: Hypothesis, match: _Match, right: _Match) -> Finding:
    """A hypothesis that explains every array, itself or by being right, as a sentence."""
    names = list(question.answer)
    explained = match.explained(right)
    mine = [n for n in names if n in explained]
    parts: list[str] = []
    scaled = {n: match.factors[n] for n in mine if match.factors[n] != 1.0}
    left = [n for n in names if n not in mine and right.factors.get(n) != 1.0]
    scaled |= {n: right.factors[n] for n in left}
    what = "answer" if len(mine) == len(names) else ", ".join(mine[:4])
    what += f" and {len(mine) - 4} more" if what != "answer" and len(mine) > 4 else ""
    if h.size:
        parts.append(f"{h.sentence}: that reproduces your {what} {_digits(match.error)}")
    for factor, owners in _names_by_factor(scaled, question).items():
        where = "" if len(owners) == len(names) else f" in {', '.join(owners[:4])}"
        parts.append(f"a factor of {factor}{where}")
    text = f"{question.stage}: " + "; besides, ".join(parts)
    size = h.size + bool(scaled)
    return Finding(text, h if h.size else None, size, error=match.error)


def _digits(error: float) -> str:
    return f"to {error:.0e}" if error else "bit for bit"


def _names_by_factor(scaled: dict[str, float], question: Question) -> dict[str, list[str]]:
    owners: dict[str, list[str]] = {}
    for name, factor in scaled.items():
        text = expression_for(factor, question.case, question.tolerances[name])
        owners.setdefault(text, []).append(name)
    return owners

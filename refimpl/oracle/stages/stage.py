"""Stage: the base class of the stages, with all that one of them may define for itself."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.conventions import Conventions
from refimpl.oracle.stages.answer import Arrays, ByLayer, OneArray, Sizes
from refimpl.oracle.stages.numbers import BadAnswer, one_line
from refimpl.oracle.stages.setting import ARGUMENTS, FED, Mode, Setting
from refimpl.oracle.truth.scales import THRESHOLD, scale_of
from refimpl.oracle.truth.truth import Truth

__all__ = ["Arguments", "Stage"]

Arguments = Mapping[str, Any]  # by name, without the case


class Stage:
    """A stage: its arguments, the form of its answer, the right answer, and the scale of errors.

    Each stage is a subclass with one instance in `STAGES`; what it does not define is as written here.
    """

    name: ClassVar[str]  # of the adapter's method, and of the stage everywhere
    plural: ClassVar[str]  # what its answers are called in a sentence
    signature: ClassVar[tuple[str, ...]]  # the method's arguments in order; see `ARGUMENTS`
    form: ClassVar[ByLayer | OneArray]  # what an answer looks like
    fed_as: ClassVar[str] = ""  # the argument by which later stages are given its answer, if any
    # The stages whose mistakes show in its answer where it is fed what is right, likeliest first.
    inherits: ClassVar[tuple[str, ...]]
    axes: ClassVar[tuple[str, ...]] = (
        "vector",
        "entry",
    )  # what its arrays' axes are, for a sentence
    draws_labels: ClassVar[bool] = False  # depends on the labels that a sampled Fisher draws
    known_in_part: ClassVar[bool] = False  # has arrays that do not, even so
    inverts: ClassVar[bool] = False  # depends on which damped matrix is inverted
    amplifies: ClassVar[bool] = False  # multiplies roundings, by a condition number or 1 / gap
    gives_parameters: ClassVar[bool] = False  # whose way from the trained ones is what it says
    example_axis: ClassVar[int | None] = None  # of training examples; None: it sums over them
    # (p, q): c times the loss and s times the second moments give c^p s^q times every array.
    degree: ClassVar[tuple[int, int]] = (0, 0)
    # (kind, slug): the arrays of a vector, and the check that judges each.
    checks: ClassVar[tuple[tuple[str, str], ...]] = ()

    @property
    def takes_case(self) -> bool:
        """Whether the method receives the case, and not only arrays made from it."""
        return "case" in self.signature

    @property
    def of_factors(self) -> bool:
        """Whether the method receives the factors and nothing else."""
        return self.signature == ("factors",)

    def arguments(self, setting: Setting, mode: Mode = "isolated", **given: Any) -> dict[str, Any]:
        """The method's arguments besides the case, in the order of the signature.

        Args:
            setting: The case, and what earlier stages gave.
            mode: Whether these are the reference's or the implementation's own.
            given: Arguments that differ from those of `ARGUMENTS`.
        """
        return {
            name: ARGUMENTS[name](setting, mode) if given.get(name) is None else given[name]
            for name in self.signature
            if name != "case"
        }

    def key(self, setting: Setting, mode: Mode, given: Arguments) -> tuple[Any, ...]:
        """A key that tells two questions about a case apart without computing their arguments."""
        marks: list[Any] = [self.name]
        for name in self.signature:
            value = given.get(name)
            if name in FED:
                marks += [mode, id(value)]
            elif name != "case":
                value = ARGUMENTS[name](setting, mode) if value is None else value
                marks.append(value.tobytes() if isinstance(value, np.ndarray) else value)
        return tuple(marks)

    def call(self, adapter: Any, case: Case, arguments: Arguments) -> Any:
        """The raw answer of an adapter.

        Args:
            adapter: An object with a method of this name.
            case: The case.
            arguments: Arguments by name, as `arguments` gives them.
        """
        method = getattr(adapter, self.name)
        return method(case, **arguments) if self.takes_case else method(**arguments)

    def read(self, raw: Any, case: Case, vectors: int = 0) -> Any:
        """A raw answer as float64 arrays.

        Args:
            raw: What the implementation returned.
            case: The case, in the conventions of the answer.
            vectors: k, how many vectors the stage was given.

        Raises:
            BadAnswer: It is not what the stage returns; the text says what was expected.
        """
        try:
            return self.form.read(self.name, raw, Sizes.of(case, vectors))
        except BadAnswer:
            raise
        except Exception as error:  # whatever a foreign mapping raises when it is read
            raise BadAnswer(f"{self.name} cannot be read ({one_line(error)})") from None

    def arrays(self, answer: Any) -> Arrays:
        """An answer as arrays by name, as they travel: "layer", "layer/part" or "answer"."""
        return self.form.arrays(answer)

    def named(self, answer: Any) -> Arrays:
        """An answer's arrays as a sentence names them, free of what is not unique."""
        return self.form.arrays(answer)

    def recorded(self, answer: Any, curvature: str) -> Arrays:
        """An answer's arrays as a vector names them.

        Args:
            answer: The answer.
            curvature: Matrix that the implementation inverts.
        """
        return {f"{self.name}/{name}": array for name, array in self.arrays(answer).items()}

    def pairs(self, arguments: Arguments, answer: Any, right: Any) -> Iterator[tuple[Array, Array]]:
        """Pairs of arrays, answered and right, that no sign or basis of eigenvectors changes.

        Args:
            arguments: The arguments of the answer, by name.
            answer: The answer.
            right: The right answer.
        """
        arrays = self.arrays(answer)
        yield from ((arrays[name], array) for name, array in self.arrays(right).items())

    def right(self, truth: Truth, arguments: Arguments) -> Any:
        """The right answer.

        Args:
            truth: Truth of the case.
            arguments: Arguments by name, as `arguments` gives them.
        """
        raise NotImplementedError

    def scale(self, truth: Truth, arguments: Arguments) -> Arrays:
        """The scale of each entry's error, by the names of `arrays`.

        The checks against the reference, the relations between own answers, the released vectors and
        the diagnosis read it: an error counts from THRESHOLD u times this. Solves are judged by their
        backward error instead, on a scale of the check's own (`checks/solve.py`).

        Args:
            truth: Truth of the case.
            arguments: Arguments by name, as `arguments` gives them.
        """
        return self.arrays(scale_of(truth, lambda t: self.right(t, arguments)))

    def relation_scale(self, truth: Truth, answer: Callable[[], Any], scale: Arrays) -> Arrays:
        """The scale for two answers of one implementation, where it may choose their size.

        Args:
            truth: Truth of the case.
            answer: Gives one of the two answers.
            scale: The scale that `scale` gives.
        """
        return scale

    def tolerances(self, truth: Truth, arguments: Arguments, right: Arrays) -> dict[str, float]:
        """The most that a named array may differ from the right one, relative to its largest entry.

        The largest of its `scale` over the largest entry, times 30 u. For what explains an answer: an
        entry by itself may be reproduced by chance, an array hardly. sqrt(N) stands for the rounding of
        the sums over examples, since another implementation adds in another order.

        Args:
            truth: Truth of the case.
            arguments: Arguments by name, as `arguments` gives them.
            right: The named arrays of the right answer.
        """
        scales = self.named(scale_of(truth, lambda t: self.right(t, arguments)))
        reach, summed = THRESHOLD * truth.conventions.unit, float(truth.case.num_examples) ** 0.5
        return {
            name: reach * (float(np.abs(scales[name]).max()) / largest(array) + summed)
            for name, array in right.items()
        }

    def require(self, setting: Setting) -> None:
        """Refuse a case about which the stage cannot be asked.

        Raises:
            Undecided: It cannot; the text says why.
        """

    def decide(self, truth: Truth) -> None:
        """Refuse a case whose answer rounding alone decides.

        Raises:
            Undecided: It does; the text says why.
        """

    def divided_by_n(self, conventions: Conventions) -> bool:
        """Whether the conventions divide the answer by the number of examples."""
        return False


def largest(array: Array) -> float:
    """The largest entry of an array, never zero: what a relative difference is relative to.

    Args:
        array: Any shape.
    """
    return max(float(np.abs(array).max()), 1e-300)

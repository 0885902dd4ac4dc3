"""Convention: one thing that implementations may rightly do differently, as a record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, overload

__all__ = ["Choice", "Convention"]

# Takes an answer in refimpl's own convention and the case; returns the answer in another convention.
Transformation = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Choice:
    """One choice of a convention.

    Args:
        value: Value by which it is declared.
        meaning: Meaning, for docs/conventions.md; empty where the value says it.
        explains: Sentence of the diagnosis where this choice, other than declared, reproduces an answer;
            empty: the diagnosis does not try it.
        transforms: By stage, how the answer in the convention's first choice becomes one in this.
        curvature: The only curvature that it can be declared with; empty: any.
        because: Why only with that one.
        new_eigenvectors: Whether A or S has other eigenvectors than in the first choice, so that the
            gaps of cases are certified in it as well.
        tried: Whether the self-test's honest implementations answer in it.
    """

    value: str
    meaning: str = ""
    explains: str = ""
    transforms: Mapping[str, Transformation] = field(default_factory=dict)
    curvature: str = ""
    because: str = ""
    new_eigenvectors: bool = False
    tried: bool = True


@dataclass
class Convention:
    """A convention; as an attribute of `Conventions` it gives the choice of an instance.

    Args:
        about: Subject of the convention, for docs/conventions.md.
        judged: How the oracle treats it: a transformation of answers, or another computation.
        choices: The choices, refimpl's own first; none for a number of at least 1.
    """

    about: str
    judged: str
    choices: tuple[Choice, ...] = ()
    name: str = field(default="", init=False)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Convention": ...
    @overload
    def __get__(self, instance: Any, owner: type) -> Any: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance.changed.get(self.name, self.default)

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError(f"conventions are frozen: use .but({self.name}={value!r})")

    @property
    def default(self) -> str | int:
        """Refimpl's own choice."""
        return self.choices[0].value if self.choices else 1

    @property
    def values(self) -> tuple[str, ...]:
        """The values that may be declared; empty for a number."""
        return tuple(choice.value for choice in self.choices)

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the allowed values."""
        return {"enum": [*self.values]} if self.choices else {"type": "integer", "minimum": 1}

    def choice(self, value: str) -> Choice:
        """The choice of a value.

        Args:
            value: One of `values`.
        """
        return self.choices[self.values.index(value)]

    def check(self, value: Any) -> None:
        """Refuse what is no choice.

        Raises:
            ValueError: It is none; the text says which there are.
        """
        if self.choices and value not in self.values:
            raise ValueError(
                f"convention {self.name!r} must be one of {self.values}, got {value!r}"
            )
        if not self.choices and (not isinstance(value, int) or value < 1):
            raise ValueError(f"convention {self.name!r} must be >= 1, got {value!r}")

"""A session: where the answers of an implementation come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from refimpl.oracle.question.case import Case
from refimpl.oracle.subject.adapter import Declaration

__all__ = ["Described", "Failed", "Session"]


class Failed(Exception):
    """The implementation gave no answer: it raised, hung, or ended; the text says which."""


@dataclass(frozen=True)
class Described:
    """Description of an implementation: its declaration and its stages."""

    declaration: Declaration
    stages: tuple[str, ...]


@runtime_checkable
class Session(Protocol):
    """A source of answers: an adapter in this process, or a program beside it."""

    @property
    def described(self) -> Described:
        """The declaration and the stages that there are."""
        ...

    def call(self, stage: str, case: Case, arguments: Mapping[str, Any]) -> Any:
        """The raw answer of a stage.

        Args:
            stage: Name of the stage.
            case: The case, in the declared conventions.
            arguments: Arguments of the stage by name, without the case.

        Raises:
            Unsupported: The implementation does not claim it.
            Failed: It crashed, hung or answered nothing.
        """
        ...

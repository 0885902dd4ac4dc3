"""Fault: a mistake that people make, as the edit of one method of the pipeline."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

from refimpl.oracle.pipeline import Pipeline
from refimpl.oracle.stages import STAGES
from refimpl.oracle.subject.adapter import Declaration

__all__ = ["BugType", "Fault", "edited", "faulty", "mistake"]

# In the order of the report; the module of a bug type bears its name.
BugType = Literal[
    "normalisation",
    "labels",
    "masking",
    "layout",
    "bias",
    "sharing",
    "damping",
    "decomposition",
    "sign and scale",
    "randomness",
    "precision",
    "state",
    "coverage",
]
Curvature = Literal["ekfac", "kfac", "gauss_newton"]


@dataclass(frozen=True)
class Fault:
    """One mistake.

    Args:
        slug: Its name, never reused.
        bug_type: The kind of mistake.
        stage: The first stage in which it shows.
        sentence: The mistake as a clause.
        method: The method of `Pipeline` that it replaces.
        edit: Its replacement; takes the right method, the pipeline, and the method's own arguments.
        thread: Public thread in which it happened or was doubted, as owner/repository#number.
        conventions: Those under which it is a mistake, and shows; default: refimpl's own.
        curvature: The matrix that is inverted.
    """

    slug: str
    bug_type: BugType
    stage: str
    sentence: str
    method: str
    edit: Callable[..., Any]
    thread: str = ""
    conventions: Mapping[str, Any] = field(default_factory=dict)
    curvature: Curvature = "ekfac"

    def __post_init__(self) -> None:
        if self.bug_type not in get_args(BugType) or self.stage not in STAGES:
            raise ValueError(f"fault {self.slug!r}: no such bug type or stage")
        if not hasattr(Pipeline, self.method):
            raise ValueError(f"fault {self.slug!r}: Pipeline has no method {self.method!r}")

    @property
    def declaration(self) -> Declaration:
        """The declaration of an implementation with this fault."""
        return Declaration(self.slug, conventions=dict(self.conventions), curvature=self.curvature)


def mistake(
    stage: str,
    *,
    edits: str,
    thread: str = "",
    conventions: Mapping[str, Any] | None = None,
    curvature: Curvature = "ekfac",
) -> Callable[[Callable[..., Any]], Fault]:
    """Declare a function that edits a method of the pipeline as a fault.

    The function's name is the fault's slug, the first line of its docstring the fault's sentence, and
    its module the bug type.

    Args:
        stage: The first stage in which it shows.
        edits: The method of `Pipeline` that it replaces.
        thread: See `Fault`.
        conventions: See `Fault`.
        curvature: The matrix that is inverted.
    """

    def declared(edit: Callable[..., Any]) -> Fault:
        bug_type: Any = edit.__module__.rpartition(".")[2].replace("_", " ")
        return Fault(
            slug=edit.__name__.replace("_", "-"),
            bug_type=bug_type,
            stage=stage,
            sentence=(edit.__doc__ or "").partition("\n")[0],
            method=edits,
            edit=edit,
            thread=thread,
            conventions=conventions or {},
            curvature=curvature,
        )

    return declared


def edited(base: type[Pipeline], *faults: Fault) -> type[Pipeline]:
    """The pipeline with faults, each an edit of what the one before left.

    Args:
        base: Class of the pipeline to edit.
        *faults: Edits, the innermost first.
    """
    for fault in faults:
        subclass: Any = type(base.__name__, (base,), {fault.method: _replaced(base, fault)})
        base = subclass
    return base


def _replaced(base: type[Pipeline], fault: Fault) -> Callable[..., Any]:
    right = getattr(base, fault.method)
    signature = inspect.signature(getattr(Pipeline, fault.method))

    def method(self: Pipeline, *args: Any, **named: Any) -> Any:
        _, *places = signature.bind(self, *args, **named).args
        return fault.edit(partial(right, self), self, *places)

    return method


def faulty(fault: Fault, declaration: Declaration | None = None) -> Pipeline:
    """The pipeline with one fault, as an adapter.

    Args:
        fault: The mistake to make.
        declaration: Conventions and curvature; default: those under which the fault shows.
    """
    return edited(Pipeline, fault)(declaration or fault.declaration)
